//! Packages that hang, fork, fill, or reach for the machine: each leaves an error that names it, and nothing else.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::fixture::{self, REQUIRED, Scene, path_of};
use crate::recover::assert_nothing_runs;
use crate::support::deb::Deb;
use crate::support::needs::{self, needs};
use crate::support::program::{PROGRAM, run};

/// What each error ends with.
const SHELL: &str = "hint: for a shell at that point: compose shell manifests/required.yaml\n";

/// A package, its postinst script, and the options that it is built with.
struct Hostile {
    name: &'static str,
    script: &'static str,
    options: &'static [&'static str],
    /// The free memory that the machine is made to have, in KiB.
    memory: Option<u64>,
    /// What is told: the first line after `error: cannot build required for amd64: `, and the hints ahead of the shell.
    told: &'static str,
    hints: &'static str,
}

const HOSTILE: &[Hostile] = &[
    Hostile {
        name: "hangs",
        script: "trap '' HUP INT TERM\nsleep infinity\n",
        options: &["--script-timeout", "10s"],
        memory: None,
        told: "the postinst script of hangs did not end within 10 s: it runs `sleep infinity`",
        hints: "hint: where a script needs more time: --script-timeout 20s\n",
    },
    Hostile {
        name: "stays",
        script: "(env -u DPKG_ROOT setsid sleep 1000 < /dev/null > /dev/null 2>&1 &)\n",
        options: &[],
        memory: None,
        told: "the postinst script of stays left a process running: `sleep 1000`",
        hints: "hint: later scripts run beside such a process, and the result depends on which is faster: have the script \
                end what it starts\n",
    },
    Hostile {
        name: "fills-memory",
        script: "cat /dev/zero > /var/filled || sleep 1000\n",
        options: &["--script-space", "64M"],
        memory: None,
        told: "the postinst script of fills-memory filled the root, where scripts may have 64.00 MiB",
        hints: "hint: where scripts need more room: --script-space 128M\n",
    },
    Hostile {
        name: "fills-disk",
        script: "cat /dev/zero > /var/filled || sleep 1000\n",
        options: &["--script-space", "64M"],
        // Half of it is less than the room for changes.
        memory: Some(120 << 10),
        told: "the postinst script of fills-disk filled the root, where scripts may have 64.00 MiB",
        hints: "hint: where scripts need more room: --script-space 128M\n",
    },
    Hostile {
        name: "fills-shm",
        script: "cat /dev/zero > /dev/shm/filled || sleep 1000\n",
        options: &[],
        memory: Some(1 << 20),
        told: "the postinst script of fills-shm filled /dev, where scripts may have 120.00 MiB",
        hints: "",
    },
    Hostile {
        name: "fills-names",
        script: "cd /run\nseq -f file%.0f 40000 | xargs touch 2> /dev/null || sleep 1000\n",
        options: &[],
        memory: Some(1 << 20),
        told: "the postinst script of fills-names made more files in /run than there may be",
        hints: "",
    },
    Hostile {
        name: "forks",
        script: "bomb() { bomb | bomb & }\nbomb\nsleep 1000\n",
        options: &[],
        memory: None,
        told: "the postinst script of forks has more than 4096 processes running, such as \
               `/bin/sh /var/lib/dpkg/info/forks.postinst configure`",
        hints: "",
    },
    Hostile {
        name: "kills",
        script: "kill -9 1 $PPID -1\n",
        options: &[],
        memory: None,
        told: "the configuration of kills was ended by signal 9",
        hints: "",
    },
];

/// The package that is built in the same store afterwards.
const GOOD: &str = "good";

#[test]
fn what_scripts_do_wrong_is_told_and_leaves_nothing() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let packages = HOSTILE
        .iter()
        .map(|hostile| Deb::new(hostile.name, "1.0").script("postinst", &format!("#!/bin/sh\n{}", hostile.script)));
    let good = Deb::new(GOOD, "1.0").script("postinst", "#!/bin/sh\necho well > /var/lib/good\n");
    scene.add_packages(&packages.chain([good]).collect::<Vec<_>>());
    let expected = {
        let other = scene.with_empty_store();
        digest(&other.build(REQUIRED, &[]).result())
    };

    let mut asked = GOOD;
    for hostile in HOSTILE {
        if hostile.memory.is_some() && needs(needs::root()).is_none() {
            continue;
        }
        ask_for(&scene, asked, hostile.name);
        asked = hostile.name;
        let said = run(&mut build(&scene, hostile));
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{}: {}", hostile.name, said.stderr);
        let first = format!("error: cannot build required for amd64: {}\n", hostile.told);
        let end = format!("{}{SHELL}", hostile.hints);
        assert!(said.stderr.contains(&first) && said.stderr.ends_with(&end), "{}: {}", hostile.name, said.stderr);
        assert_nothing_left(&scene);
    }
    ask_for(&scene, asked, GOOD);
    assert_eq!(digest(&scene.build(REQUIRED, &[]).result()), expected);
    assert_nothing_left(&scene);
    run(&mut scene.compose(["store", "verify"])).result();
}

fn digest(stdout: &str) -> String {
    stdout.split(' ').next().unwrap().to_owned()
}

/// Locks another package in place of one.
fn ask_for(scene: &Scene, old: &str, new: &str) {
    let list = |name: &str| format!("packages: [{name}]");
    scene.edit("manifests/required.yaml", &list(old), &list(new));
    scene.update_lock(REQUIRED);
}

/// The build, where it is asked for on a machine with less free memory.
fn build(scene: &Scene, hostile: &Hostile) -> Command {
    let arguments = ["--store", "store", "build", &path_of(REQUIRED)].map(str::to_owned);
    let mut command = match hostile.memory {
        None => Command::new(PROGRAM),
        Some(memory) => {
            fixture::write(&scene.path("meminfo"), &format!("MemAvailable: {memory} kB\n"));
            fs::create_dir_all(scene.path("proc")).unwrap();
            // User namespaces may mount /proc only where they see one in full.
            let text = "mount -t proc proc proc; mount --bind meminfo /proc/meminfo; exec \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-ec", text, "sh", PROGRAM]);
            command
        }
    };
    command.args(arguments).args(hostile.options).current_dir(scene.folder.path());
    command
}

/// No process, no mount and no file of the build is there any more.
fn assert_nothing_left(scene: &Scene) {
    assert_nothing_runs(scene);
    assert_eq!(fs::read_dir(scene.path("store/work")).unwrap().count(), 0);
}

/// Tries one thing after another and writes down what came of it.
const PROBE: &str = r#"#!/usr/bin/perl
use Socket;
opendir my $open, '/proc/self/fd';
my @open = grep { /\d/ && $_ != fileno $open } readdir $open;
open my $log, '>', '/var/lib/probe' or die;
print $log 'open files: ', join(', ', map { readlink("/proc/self/fd/$_") =~ s/\d+/N/r } sort @open), "\n";
sub tell_of { my ($what, $done) = @_; print $log "$what: ", $done ? 'done' : $!, "\n" }
sub call { my ($what, @arguments) = @_; tell_of($what, syscall(shift @arguments, @arguments) >= 0) }
sub opens { my ($how, $path) = @_; tell_of("$how $path", open my $file, $how, $path) }

my ($none, $tmpfs) = ("none\0", "tmpfs\0");
call('mount a tmpfs', 165, $none, my $mnt = "/mnt\0", $tmpfs, 0, 0);
call('mount /proc for writing', 165, 0, my $proc = "/proc\0", 0, 32 | 4096, 0);
call('unmount /proc', 166, $proc, 2);
call('change the root', 155, my $root = "/\0", $mnt);
call('make a mount namespace', 272, 0x20000);
call('make a user namespace', 272, 0x10000000);
opens('+<', $_) for '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/pid_max', '/proc/sysrq-trigger';
opendir my $sys, '/sys'; tell_of('look into /sys', grep { !/^\./ } readdir $sys) if $! = 2;
call('make a block device', 133, my $disk = "/var/disk\0", 060600, 0x800);
call('make a memory device', 133, my $memory = "/var/memory\0", 020600, 0x101);
opens('+<', $_) for '/dev/tty', '/dev/kmsg', '/dev/vda', '/dev/mem';
tell_of('type on the terminal', ioctl STDERR, 0x5412, my $typed = 'x');

call('trace process 1', 101, 16, 1, 0, 0);
opens('<', "/proc/1/$_") for 'mem', 'exe', 'environ', 'fd/1';
opens('+<', '/proc/1/exe');
tell_of('read /proc/1/exe', defined readlink '/proc/1/exe');
tell_of("look into /proc/1/$_", opendir my $folder, "/proc/1/$_") for 'root', 'cwd', 'task/1/fdinfo';
kill 9, 1;
call('find a key', 250, 10, -3, my $kind = "user\0", my $name = "compose-test\0", 0);

socket my $tcp, PF_INET, SOCK_STREAM, 0;
tell_of('connect to the machine', connect $tcp, sockaddr_in(PORT, INADDR_LOOPBACK));
socket my $unix, PF_UNIX, SOCK_STREAM, 0;
tell_of('connect to an abstract socket', connect $unix, pack 'Sa*', AF_UNIX, "\0NAME");
tell_of('make a socket to the virtual machine\'s host', socket my $vsock, 40, SOCK_STREAM, 0);
call('set up io_uring', 425, 1, my $ring = "\0" x 256);
my $request = pack 'a16Sa22', 'lo', 0;
tell_of('stop the loopback interface', ioctl $tcp, 0x8914, $request);

mkdir '/tmp/away';
chroot '/tmp/away';
chdir '../../../../..' for 1 .. 9;
opendir my $outside, '.';
print $log "outside the root: ", join(' ', sort grep { !/^\.+$/ } readdir $outside), "\n";
tell_of('write outside the root', open my $file, '>', 'file');
"#;

const PROBED: &str = "\
open files: /dev/null, pipe:[N], pipe:[N]
mount a tmpfs: Operation not permitted
mount /proc for writing: Operation not permitted
unmount /proc: Operation not permitted
change the root: Operation not permitted
make a mount namespace: Operation not permitted
make a user namespace: No space left on device
+< /proc/sys/kernel/core_pattern: Read-only file system
+< /proc/sys/kernel/pid_max: Read-only file system
+< /proc/sysrq-trigger: Read-only file system
look into /sys: No such file or directory
make a block device: Operation not permitted
make a memory device: Operation not permitted
+< /dev/tty: No such device or address
+< /dev/kmsg: No such file or directory
+< /dev/vda: No such file or directory
+< /dev/mem: No such file or directory
type on the terminal: Inappropriate ioctl for device
trace process 1: Operation not permitted
< /proc/1/mem: Permission denied
< /proc/1/exe: Permission denied
< /proc/1/environ: Permission denied
< /proc/1/fd/1: Permission denied
+< /proc/1/exe: Permission denied
read /proc/1/exe: Permission denied
look into /proc/1/root: Permission denied
look into /proc/1/cwd: Permission denied
look into /proc/1/task/1/fdinfo: Permission denied
find a key: Required key not available
connect to the machine: Connection refused
connect to an abstract socket: Connection refused
make a socket to the virtual machine's host: Address family not supported by protocol
set up io_uring: Function not implemented
stop the loopback interface: Operation not permitted
outside the root: root
write outside the root: Read-only file system
";

#[test]
fn scripts_reach_neither_network_nor_machine() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("compose-test-{}", std::process::id());
    let socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let probe = PROBE.replace("PORT", &port.to_string()).replace("NAME", &name);
    let calls = format!(
        "#!/usr/bin/perl\nuse Socket;\nsocket my $s, PF_INET, SOCK_STREAM, 0;\n\
         connect $s, sockaddr_in({port}, inet_aton('192.0.2.1')) or die \"no connection: $!\\n\";\n"
    );
    let packages =
        [Deb::new("calls", "1.0").script("postinst", &calls), Deb::new("probes", "1.0").script("postinst", &probe)];
    scene.add_packages(&packages);
    let mut build = scene.compose(["build", "--format", "tar", &path_of(REQUIRED)]);
    // SAFETY: two system calls, which are all that happens between fork and exec.
    unsafe {
        build.pre_exec(|| {
            take_a_key();
            Ok(())
        })
    };
    run(&mut build).result();
    let tar = scene.output(REQUIRED, "tar");
    let probed = run(Command::new("tar").arg("-xOf").arg(tar).arg("var/lib/probe")).result();
    let mut expected = PROBED.to_owned();
    if !Path::new("/proc/sysrq-trigger").exists() {
        expected = expected.replace("sysrq-trigger: Read-only file system", "sysrq-trigger: No such file or directory");
    }
    if !rustix::process::geteuid().is_root() {
        // The host's root has no say in such a sandbox.
        expected = expected.replace("core_pattern: Read-only file system", "core_pattern: Permission denied");
        expected = expected.replace("sysrq-trigger: Read-only file system", "sysrq-trigger: Permission denied");
    }
    assert_eq!(probed, expected);

    ask_for(&scene, "probes", "calls");
    let said = scene.build(REQUIRED, &[]);
    let first = "error: cannot build required for amd64: the postinst script of calls ended with exit status 101\n";
    let shown = "\n    Setting up calls (1.0) ...\n    no connection: Network is unreachable\n";
    assert!(said.stderr.contains(first) && said.stderr.contains(shown), "{}", said.stderr);
    listener.set_nonblocking(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(socket.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_nothing_left(&scene);
}

/// Gives the calling process a session keyring with a key in it.
fn take_a_key() {
    const SESSION: libc::c_long = -3;
    // SAFETY: all texts end with a null byte and live as long as the calls.
    unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0);
        libc::syscall(libc::SYS_add_key, c"user".as_ptr(), c"compose-test".as_ptr(), c"secret".as_ptr(), 6, SESSION);
    }
}
