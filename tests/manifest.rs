//! Manifests as people write them: what they come to, and what is said of mistakes.

use std::fs;
use std::path::Path;

use compose::arch::Architecture;
use compose::error::hints;
use compose::manifest::{self, AddedContent, Base, ImageOptions, Kernel, Manifest, OutputFormat};

const SMALL: &str = "\
name: small
format: deb
architectures: [amd64]
archives:
- id: debian
  suites: [trixie]
  components: [main]
  signed-by: keyring.gpg
";

/// Files of a manifest, in a folder of their own; `main.yaml` is the manifest.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let new = Self(folder);
        new.write("keyring.gpg", "a key");
        for (name, text) in files {
            new.write(name, text);
        }
        new
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        compose::durable::write(&path, text.as_bytes()).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn load(&self) -> anyhow::Result<Manifest> {
        manifest::load(&self.path().join("main.yaml"))
    }

    /// The error and its hints, one a line, with the folder's name taken out.
    fn mistake(&self) -> String {
        let error = self.load().expect_err("a mistake");
        let mut lines = vec![format!("{error:#}")];
        lines.extend(hints(&error).into_iter().map(|hint| format!("hint: {hint}")));
        lines.join("\n").replace(&format!("{}/", self.path().display()), "")
    }
}

#[test]
fn a_small_manifest_has_defaults() {
    let files = Files::new(&[("main.yaml", SMALL)]);
    let manifest = files.load().unwrap();
    assert_eq!(manifest.name, "small");
    assert_eq!(manifest.base, Base::Required);
    assert!(!manifest.recommends);
    assert_eq!(manifest.outputs, [OutputFormat::RootImg]);
    assert_eq!(manifest.image, ImageOptions::default());
    let archive = &manifest.archives[0];
    assert_eq!(archive.signed_by.as_deref(), Some(files.path().join("keyring.gpg").as_path()));
    assert!(archive.check_valid_until && !archive.trusted && archive.priority.is_none());
}

#[test]
fn includes_come_first_and_the_includer_wins() {
    let base = "\
include: [deeper/deepest.yaml]
name: base
format: deb
base: essential
packages: [a, b (>= 1)]
archives:
- id: debian
  suites: [trixie]
  components: [main]
  signed-by: keyring.gpg
  priority: 100
image: {size: 1G, label: base, kernel: own}
";
    let deepest = "\
architectures: [arm64, amd64]
packages: [z, a]
files:
- {path: /etc/a, source: a.txt}
- {path: /etc/b, content: first}
";
    let main = "\
name: main
include: [base.yaml, deeper/deepest.yaml]
packages: [c=2-1, a]
exclude: [systemd]
outputs: [tar]
archives:
- id: debian
  suites: [trixie-updates]
  check-valid-until: false
- id: own
  suites: [./]
  trusted: true
  uris: ['file:///pool']
users:
- {name: user, groups: [sudo, qubes], password-hash: ''}
files:
- {path: /etc/b, content: second, mode: 0600}
- {path: /etc/link, link: b}
- {path: /srv/data, directory: true, mode: '1777', owner: user}
image: {label: main, swap: 64M}
";
    let files = Files::new(&[
        ("main.yaml", main),
        ("base.yaml", base),
        ("deeper/deepest.yaml", deepest),
        ("deeper/a.txt", "contents"),
    ]);
    let m = files.load().unwrap();
    assert_eq!((m.name.as_str(), m.base), ("main", Base::Essential));
    assert_eq!(m.architectures.iter().map(Architecture::as_str).collect::<Vec<_>>(), ["amd64", "arm64"]);
    let requests: Vec<String> = m.packages.iter().map(|p| format!("{} {:?}", p.name, p.version)).collect();
    assert_eq!(requests, ["z None", "a None", "b Some((\">=\", \"1\"))", "c Some((\"=\", \"2-1\"))"]);
    assert_eq!(m.archives.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["debian", "own"]);
    assert_eq!(m.archives[0].suites, ["trixie", "trixie-updates"]);
    assert_eq!((m.archives[0].priority, m.archives[0].check_valid_until), (Some(100), false));
    let modes: Vec<_> = m.files.iter().map(|f| (f.path.as_str(), f.mode, f.owner.as_str())).collect();
    assert_eq!(
        modes,
        [
            ("/etc/a", 0o644, "root"),
            ("/etc/b", 0o600, "root"),
            ("/etc/link", 0o644, "root"),
            ("/srv/data", 0o1777, "user")
        ]
    );
    assert_eq!(m.files[0].content, AddedContent::Bytes(b"contents".to_vec()));
    assert_eq!(m.files[1].content, AddedContent::Bytes(b"second".to_vec()));
    let image = ImageOptions {
        size: Some(1 << 30),
        label: "main".to_owned(),
        swap: 64 << 20,
        kernel: Kernel::Own,
        ..ImageOptions::default()
    };
    assert_eq!(m.image, image);
}

#[test]
fn the_digest_is_of_values() {
    let files = Files::new(&[("main.yaml", SMALL)]);
    let digest = files.load().unwrap().digest;
    files.write("main.yaml", &format!("# a comment\n{}", SMALL.replace("[amd64]", "\n- amd64")));
    assert_eq!(files.load().unwrap().digest, digest);
    files.write("elsewhere/key.gpg", "a key");
    files.write("main.yaml", &SMALL.replace("keyring.gpg", "elsewhere/key.gpg"));
    assert_eq!(files.load().unwrap().digest, digest);
    files.write("elsewhere/key.gpg", "another key");
    assert_ne!(files.load().unwrap().digest, digest);
    files.write("main.yaml", &format!("{SMALL}recommends: true\n"));
    assert_ne!(files.load().unwrap().digest, digest);
}

/// What is added to [`SMALL`], and what is said of it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "pakages: [a]",
        "main.yaml:9:1: unknown field `pakages`, expected one of `name`, `format`, `include`, `architectures`, `foreign-architectures`, `archives`, `base`, `recommends`, `suggests`, `packages`, `exclude`, `groups`, `users`, `files`, `hostname`, `locale`, `timezone`, `units`, `debconf`, `hooks`, `outputs`, `image`, `template`, `checks`, `tools`\nhint: did you mean `packages`?",
    ),
    (
        "base: requird",
        "main.yaml:9:7: base: unknown base `requird`, expected one of `essential`, `required`, `standard`, `none`\nhint: did you mean `required`?",
    ),
    (
        "outputs: [tar, rot.img]",
        "main.yaml:9:16: outputs[1]: unknown output `rot.img`, expected one of `root.img`, `private.img`, `swap.img`, `tar`, `erofs`, `squashfs`, `oci`, `qubes-template`, `ostree`\nhint: did you mean `root.img`?",
    ),
    ("recommends: yes", "main.yaml:9:13: recommends: unknown truth value `yes`, expected one of `true`, `false`"),
    (
        "packages:\n- good\n- bad package",
        "main.yaml:11:3: `bad package` is not a package relation: a package name has lower-case letters, digits and `+-.`, beginning with a letter or digit",
    ),
    ("packages: [a (>> x)]", "main.yaml:9:12: `x` is not a version: [EPOCH:]UPSTREAM[-REVISION] is expected"),
    (
        "packages: [a (!= 1)]",
        "main.yaml:9:12: `a (!= 1)` is not a package relation: expected one of `<<`, `<=`, `=`, `>=`, `>>`",
    ),
    ("packages: [a]\nexclude: [a]", "main.yaml:9:12: `a` is asked for and excluded"),
    ("exclude: [a (>= 1)]", "main.yaml:9:11: `a (>= 1)` is more than a name: a package is excluded by name alone"),
    (
        "image: {size: 1GB}",
        "main.yaml:9:15: image.size: `1GB` is not a size: a number of bytes, or one with K, M, G or T, is expected; or `fit`",
    ),
    ("image: {size: 1000000000}", "main.yaml:9:15: 1000000000 bytes are no whole number of MiB"),
    (
        "image: {slack: 16777215T}",
        "main.yaml:9:16: image.slack: `16777215T` is too large: file systems have at most 16T",
    ),
    ("image: {size: 17T}", "main.yaml:9:15: image.size: `17T` is too large: file systems have at most 16T"),
    (
        "image: {private: 17592186044417}",
        "main.yaml:9:18: image.private: `17592186044417` is too large: file systems have at most 16T",
    ),
    (
        "image: {swap: 99999999999T}",
        "main.yaml:9:15: image.swap: `99999999999T` is too large: file systems have at most 16T",
    ),
    ("image: {swap: 0}", "main.yaml:9:15: 0 bytes are no whole number of MiB"),
    (
        "image: {size: 200M}",
        "main.yaml:9:15: with partitions an image has at least 256M, of which they take 204M: write more, or `partitions: false`",
    ),
    (
        "image: {kernel: own, partitions: false}",
        "main.yaml:9:17: the root's own kernel is loaded by GRUB, which needs a place beside the root file system: leave out `partitions: false`",
    ),
    ("image: {kernel: mine}", "main.yaml:9:17: image.kernel: unknown kernel `mine`, expected one of `dom0`, `own`"),
    (
        "image: {label: a-label-that-is-long}",
        "main.yaml:9:16: a volume label has at most 16 bytes, and no control characters",
    ),
    ("image: {label: \"a\\nb\"}", "main.yaml:9:16: a volume label has at most 16 bytes, and no control characters"),
    (
        "template: {appmenus: {whitelisted: [xterm.desktop]}}",
        "main.yaml:9:37: what `template` says needs `version` beside it: the Qubes release, such as `4.3.0`",
    ),
    (
        "template: {version: 4.3.0, conf: {kernel: ''}}",
        "main.yaml:9:43: with `kernel: ''` Qubes starts what boots from the disk, and nothing does\nhint: add `image: {kernel: own}` and a kernel, such as by `include: [include/own-kernel.yaml]`",
    ),
    (
        "tools: {archives: [{id: x, suites: [y]}]}",
        "main.yaml:9:25: the archive `x` has neither `signed-by`, the keyring its metadata is checked against, nor `trusted: true`",
    ),
    (
        "users:\n- name: A",
        "main.yaml:10:9: `A` is not a user name: up to 32 lower-case letters, digits, `-` and `_` are expected, beginning with a letter or `_`",
    ),
    (
        "users:\n- {name: a, shel: /bin/sh}",
        "main.yaml:10:13: users[0]: unknown field `shel`, expected one of `name`, `uid`, `group`, `groups`, `gecos`, `home`, `shell`, `password-hash`, `system`\nhint: did you mean `shell`?",
    ),
    (
        "files:\n- path: /a/../b\n  content: x",
        "main.yaml:10:9: `/a/../b` is not a path in the root: `/etc/motd` is one",
    ),
    (
        "files:\n- path: /a\n  content: x\n  link: y",
        "main.yaml:10:9: `/a` needs exactly one of `content`, `source`, `link` and `directory: true`",
    ),
    (
        "files:\n- path: /a\n  source: missing",
        "main.yaml:11:11: cannot read missing: No such file or directory (os error 2)",
    ),
    (
        "files:\n- path: /a\n  content: x\n  mode: 99",
        "main.yaml:12:9: files[0].mode: `99` is not a file mode: octal digits up to 7777 are expected",
    ),
    (
        "include: [missing.yaml]",
        "main.yaml:9:11: cannot read the include missing.yaml: No such file or directory (os error 2)",
    ),
    (
        "tools: {archives: [{id: '.', pool: debs}]}",
        "main.yaml:9:25: `.` is not an archive id: one word without `/` is expected",
    ),
    (
        "hostname: a_b",
        "main.yaml:9:11: `a_b` is not a host name: labels of letters, digits and `-` are expected (hostname(7))",
    ),
    ("timezone: ../etc", "main.yaml:9:11: `../etc` is not a time zone such as `Europe/Berlin`"),
    ("locale: a b", "main.yaml:9:9: `a b` is not a locale such as `de_DE.UTF-8`"),
    ("units: {mask: [ssh]}", "main.yaml:9:16: `ssh` is not a unit's name such as `ssh.service`"),
    ("hooks: [{name: a}]", "main.yaml:9:16: the hook `a` needs exactly one of `script` and `source`"),
    (
        "hooks: [{name: a, at: never, script: x}]",
        "main.yaml:9:23: hooks[0].at: unknown point `never`, expected one of `unpacked`, `configured`",
    ),
    ("packages: [^a, a]\nexclude: [a]", "main.yaml:9:16: `a` is asked for and excluded"),
    ("include: [main.yaml]", "main.yaml:9:11: files include each other: main.yaml -> main.yaml"),
    (
        "outputs: [qubes-template]",
        "main.yaml:1:1: `template: version` is missing here and in all includes: the Qubes release the package is for, such as `4.3.0`",
    ),
    (
        "checks: {ini: x}",
        "main.yaml:9:10: checks: unknown check `ini`, expected one of `fstab`, `init`, `console`, `own-kernel`, `kernel-modules`, `secrets`, `set-id`, `policy-rc.d`, `selinux`, `size`, `qubes-agent`\nhint: did you mean `init`?",
    ),
    ("checks: {init: ' '}", "main.yaml:9:16: the check `init` is silenced without a reason"),
    ("name: twice", "main.yaml:9:1: duplicate field `name`"),
    ("packages: a", "main.yaml:9:11: packages: invalid type: string \"a\", expected a sequence"),
];

#[test]
fn mistakes_name_their_place_and_the_right_word() {
    for (text, expected) in MISTAKES {
        let files = Files::new(&[("main.yaml", &format!("{SMALL}{text}\n"))]);
        assert_eq!(files.mistake(), *expected, "{text}");
    }
}

/// What is said of the block `template:`, below whose two lines of head these stand. Each is a rule of Qubes' own programs.
const TEMPLATE_MISTAKES: &[(&str, &str)] = &[
    ("version: 4.3", "11:12: template.version: `4.3` is not a Qubes release as `X.Y.0`, such as `4.3.0`"),
    ("version: 4.03.0", "11:12: template.version: `4.03.0` is not a Qubes release as `X.Y.0`, such as `4.3.0`"),
    (
        "name: 13-debian",
        "11:9: template.name: `13-debian` is not a name that Qubes takes: letters, digits and `_.-` are expected, beginning with a letter",
    ),
    (
        "name: debian+xfce",
        "11:9: template.name: `debian+xfce` is not a name that Qubes takes: letters, digits and `_.-` are expected, beginning with a letter",
    ),
    ("name: Domain-0", "11:9: template.name: `Domain-0` is dom0's own name"),
    (
        "name: name-of-32-characters-0000000000",
        "11:9: template.name: `name-of-32-characters-0000000000` has 32 characters: Qubes takes names of at most 31",
    ),
    ("name: none", "11:9: template.name: `none` is a word that Qubes takes for no VM's name"),
    ("name: default", "11:9: template.name: `default` is a word that Qubes takes for no VM's name"),
    ("name: debian-dm", "11:9: template.name: `debian-dm` ends in `-dm`, as the names of device models' VMs do"),
    ("revision: 0", "11:13: template.revision: `0` is not a number from 1 to 999"),
    ("revision: 1000", "11:13: template.revision: `1000` is not a number from 1 to 999"),
    ("revision: 01", "11:13: template.revision: `01` is not a number from 1 to 999"),
    ("summary: a|b", "11:12: template.summary: '|' cannot stand here: Qubes takes printable ASCII without `|`"),
    ("summary: für alle", "11:12: template.summary: 'ü' cannot stand here: Qubes takes printable ASCII without `|`"),
    ("summary: ''", "11:12: template.summary: a line of text is expected"),
    (
        "description: \"\\nlate\"",
        "11:16: template.description: Qubes takes no description that begins with an empty line",
    ),
    (
        "description: \"a\\tb\"",
        "11:16: template.description: '\\t' cannot stand here: Qubes takes printable ASCII without `|`",
    ),
    (
        "license: GPLv3 and MIT",
        "11:12: template.license: `GPLv3 and MIT` is not a licence that Qubes takes: one word of letters, digits and `._+()-`, such as `GPL-3.0-or-later`",
    ),
    ("url: www.test.invalid", "11:8: template.url: `www.test.invalid` is not a URL: `https://…` is expected"),
    (
        "conf: {qrexec: true}",
        "11:18: template.conf.qrexec: Qubes passes over `true`: `1` is the only value, leave the key out for all else",
    ),
    (
        "conf: {virt-mode: pv}",
        "11:21: template.conf.virt-mode: `pv` is refused by qvm-template unless it is told --allow-pv: take `pvh` or `hvm`",
    ),
    (
        "conf: {kernel: 6.12}",
        "11:18: template.conf.kernel: Qubes passes over `6.12`: only `kernel: ''` (the template's own kernel) is taken, leave it out for dom0's",
    ),
    (
        "conf: {net.fake-ip: 10.137.0}",
        "11:23: template.conf.net.fake-ip: `10.137.0` is not an IPv4 address such as `192.168.0.1`",
    ),
    (
        "conf: {qrexc: 1}",
        "11:10: template.conf: unknown field `qrexc`, expected one of `no-monitor-layout`, `pci-e820-host`, `linux-stubdom`, `gui`, `selinux`, `gui-emulated`, `qrexec`, `net.fake-ip`, `net.fake-gateway`, `net.fake-netmask`, `virt-mode`, `kernel`\nhint: did you mean `qrexec`?",
    ),
    (
        "appmenus: {whitelisted: [xterm]}",
        "11:28: template.appmenus.whitelisted[0]: `xterm` is not a desktop entry such as `xterm.desktop`",
    ),
];

#[test]
fn what_qubes_would_refuse_is_refused_here() {
    for (text, expected) in TEMPLATE_MISTAKES {
        let main = format!("{SMALL}recommends: false\ntemplate:\n  {text}\n");
        let files = Files::new(&[("main.yaml", &main)]);
        assert_eq!(files.mistake(), format!("main.yaml:{expected}"), "{text}");
    }
    let long = SMALL.replace("small", "a-name-of-a-manifest-for-qubes-xx");
    let files = Files::new(&[("main.yaml", &format!("{long}template: {{version: 4.3.0}}\n"))]);
    assert_eq!(
        files.mistake(),
        "main.yaml:1:7: `a-name-of-a-manifest-for-qubes-xx` has 33 characters: Qubes takes names of at most 31; \
         `template: name:` gives it another name than the manifest's"
    );
}

#[test]
fn a_template_has_upstreams_defaults_and_what_files_add() {
    let small = SMALL.replace("small", "debian-13+xfce");
    let files = Files::new(&[("main.yaml", &format!("{small}template: {{version: 4.3.0}}\n"))]);
    let template = files.load().unwrap().template.unwrap();
    assert_eq!((template.name.as_str(), template.license.as_str()), ("debian-13-xfce", "GPLv3+"));
    assert_eq!(template.summary, "Qubes OS template for debian-13-xfce");
    assert_eq!(template.description, "Qubes OS template for debian-13-xfce.");
    assert_eq!(template.appmenus.vm_whitelisted, ["xterm.desktop"]);
    let include = "template: {version: 4.2.0, conf: {kernel: '', gui: 1}, appmenus: {whitelisted: [a.desktop]}}\n";
    let main = format!(
        "include: [base.yaml]\n{SMALL}image: {{kernel: own}}\ntemplate: {{version: 4.3.0, revision: 12, name: other, conf: {{virt-mode: hvm}}, appmenus: {{whitelisted: [b.desktop], netvm-whitelisted: []}}}}\n"
    );
    let files = Files::new(&[("main.yaml", &main), ("base.yaml", include)]);
    let template = files.load().unwrap().template.unwrap();
    assert_eq!((template.name.as_str(), template.version.as_str(), template.revision), ("other", "4.3.0", Some(12)));
    let conf: Vec<String> = template.conf.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(conf, ["gui=1", "virt-mode=hvm", "kernel="]);
    assert_eq!(template.appmenus.whitelisted, ["a.desktop", "b.desktop"]);
    assert_eq!(template.appmenus.netvm_whitelisted, [""; 0]);
}

#[test]
fn checks_that_are_silenced_shape_nothing() {
    let files = Files::new(&[("main.yaml", SMALL)]);
    let digest = files.load().unwrap().digest;
    files.write("main.yaml", &format!("{SMALL}checks: {{init: a container}}\n"));
    let manifest = files.load().unwrap();
    assert_eq!((manifest.digest, manifest.checks), (digest, vec![("init".to_owned(), "a container".to_owned())]));
    files.write("main.yaml", &format!("{SMALL}template: {{version: 4.3.0}}\n"));
    let template = files.load().unwrap().digest;
    assert_ne!(template, digest);
    files.write("main.yaml", &format!("{SMALL}template: {{version: 4.3.0, revision: 1}}\n"));
    assert_ne!(files.load().unwrap().digest, template);
}

#[test]
fn mistakes_in_what_is_there() {
    for (from, to, expected) in [
        (
            "amd64",
            "amd46",
            "main.yaml:3:17: architectures[0]: unknown architecture `amd46`, expected one of `amd64`, `arm64`, `armel`, `armhf`, `i386`, `mips64el`, `ppc64el`, `riscv64`, `s390x`\nhint: did you mean `amd64`?",
        ),
        ("amd64", "x86_64", "main.yaml:3:17: architectures[0]: the architecture `x86_64` is called `amd64` here"),
        (
            "signed-by: keyring.gpg",
            "signed-by: no.gpg",
            "main.yaml:8:14: cannot read no.gpg: No such file or directory (os error 2)",
        ),
        ("  suites: [trixie]\n", "", "main.yaml:5:7: the archive `debian` has no `suites`"),
        (
            "- id: debian\n",
            "- id: debian\n  suites: [a]\n  trusted: true\n- id: debian\n",
            "main.yaml:8:7: the archive `debian` stands twice in this file",
        ),
        ("name: small\n", "", "main.yaml:1:1: `name` is missing here and in all includes: it names locks and outputs"),
        (
            "name: small",
            "name: Small one",
            "main.yaml:1:7: `Small one` is not a name: lower-case letters, digits and `-._+` are expected, beginning with a letter or digit",
        ),
    ] {
        let files = Files::new(&[("main.yaml", &SMALL.replace(from, to))]);
        assert_eq!(files.mistake(), expected);
    }
}

#[test]
fn a_mistake_in_an_include_names_the_include() {
    let main = format!("include: [a.yaml, b.yaml]\n{SMALL}");
    let files = Files::new(&[("main.yaml", &main), ("a.yaml", "packages: [a]\n"), ("b.yaml", "packages:\n- b (\n")]);
    assert_eq!(files.mistake(), "b.yaml:2:3: `b (` is not a package relation: a closing `)` is missing");
    fs::remove_file(files.path().join("main.yaml")).unwrap();
    assert_eq!(files.mistake(), "cannot read main.yaml: No such file or directory (os error 2)");
}
