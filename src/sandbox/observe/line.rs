//! The line between process 1 of a sandbox and who observes it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use libc::sock_filter;
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::calls;
use crate::sandbox::{filter, mounts};

/// What is said, a byte and at most one descriptor at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Message {
    /// From process 1: the root, open.
    Root = b'r',
    /// A step is about to begin; answered by [`Self::Run`] or [`Self::Done`].
    Begin = b'b',
    /// It has to run.
    Run = b'x',
    /// It needs not run; and the answer to [`Self::End`].
    Done = b'd',
    /// A step of a plan that goes on is started: what it prints can be read there.
    Prints = b'p',
    /// From the step's own process: what its calls are told to, where the kernel can.
    Listen = b'l',
    /// The step is over, and all its processes; answered.
    End = b'e',
    /// The same, and it failed; answered.
    Failed = b'f',
}

impl Message {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Root, Self::Begin, Self::Run, Self::Done, Self::Prints, Self::Listen, Self::End, Self::Failed];
        all.into_iter().find(|m| *m as u8 == byte)
    }
}

/// Both ends of a line; neither is handed on to programs.
pub(in crate::sandbox) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).context("cannot make a socket")
}

pub(super) fn send(
    end: BorrowedFd<'_>,
    message: Message,
    descriptor: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptor) = &descriptor {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
    }
    sendmsg(end, &[IoSlice::new(&[message as u8])], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// The next message, if there is one more.
pub(super) fn receive(end: &OwnedFd) -> Result<(Option<Message>, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(end, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let received = match received {
        Ok(received) => received,
        Err(rustix::io::Errno::CONNRESET) => return Ok((None, None)),
        Err(e) => return Err(e).context("cannot hear of the sandbox"),
    };
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((if received.bytes == 1 { Message::of(byte[0]) } else { None }, descriptor))
}

/// Process 1's end.
pub(in crate::sandbox) struct Line {
    end: OwnedFd,
    filter: Vec<sock_filter>,
}

impl Line {
    /// None on an architecture whose calls are not known. To be called when the root is mounted.
    pub fn new(end: OwnedFd) -> Result<Option<Self>> {
        let Some((architecture, numbers)) = calls::numbers() else { return Ok(None) };
        let root = rustix::fs::open(mounts::ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        send(end.as_fd(), Message::Root, Some(root.as_fd()))?;
        Ok(Some(Self { end, filter: filter::listening(architecture, &numbers, calls::UNKNOWN) }))
    }

    /// Before a step: whether it needs not run.
    pub fn begin(&self) -> Result<bool> {
        Ok(self.ask(Message::Begin)? == Message::Done)
    }

    /// After a step.
    pub fn end(&self) -> Result<()> {
        self.ask(Message::End).map(drop)
    }

    /// After a step that failed, where the plan goes on.
    pub fn fail(&self) -> Result<()> {
        self.ask(Message::Failed).map(drop)
    }

    /// A pipe for what a step prints, of which who observes has the other end.
    pub fn pipe(&self) -> Result<OwnedFd> {
        let (reads, writes) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        send(self.end.as_fd(), Message::Prints, Some(reads.as_fd())).context("nobody observes the sandbox")?;
        Ok(writes)
    }

    fn ask(&self, message: Message) -> Result<Message> {
        send(self.end.as_fd(), message, None).context("nobody observes the sandbox")?;
        match receive(&self.end)?.0 {
            Some(answer) => Ok(answer),
            None => bail!("nobody observes the sandbox any more"),
        }
    }

    /// In the step's own process, between fork and exec: has its calls told of, as far as the kernel can.
    pub fn listen(&self) -> std::io::Result<()> {
        let listener = filter::listen(&self.filter).ok();
        Ok(send(self.end.as_fd(), Message::Listen, listener.as_ref().map(AsFd::as_fd))?)
    }
}
