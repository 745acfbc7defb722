//! The network of a sandbox: a loopback interface of its own, by which its programs reach each other, and nothing else.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};

/// Starts the loopback interface of this network namespace, netdevice(7): programs such as mail servers refuse to work where
/// there is none.
pub(super) fn start_loopback() -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot make a socket")?;
    // SAFETY: a request is numbers only, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP)?;
    // SAFETY: the kernel reads the request, which outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot start the loopback interface");
    }
    Ok(())
}
