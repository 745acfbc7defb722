//! Programs of two architectures with one path: the one that stays is the one that stays where rpm installs.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compose::arch::Architecture;

use crate::fixture::Scene;

/// A package with a program of an architecture that another package has, too, and a text that is the same in both.
fn package(architecture: &str, path: &str, needs: &str) -> String {
    let program = architecture.parse::<Architecture>().unwrap().smallest_program();
    format!(
        "AutoReqProv: no\nRequires: {needs}\n%description\nx\n%install\nmkdir -p %{{buildroot}}/opt/{path}\ncd %{{buildroot}}/opt/{path}\n\
         echo {} | base64 -d > program\necho same > text\n%files\n%attr(755,root,root) /opt/{path}/program\n/opt/{path}/text\n",
        STANDARD.encode(program)
    )
}

#[test]
fn the_program_of_more_bits_stays_whichever_comes_last() {
    let specs = [
        ("narrow-a.i686", package("i386", "a", "wide-a")),
        ("wide-a.x86_64", package("amd64", "a", "rpm")),
        ("narrow-b.i686", package("i386", "b", "rpm")),
        ("wide-b.x86_64", package("amd64", "b", "narrow-b")),
    ];
    let Some(scene) = Scene::new(&specs.each_ref().map(|(name, spec)| (*name, spec.as_str()))) else { return };
    scene.compose(&["build", "m.yaml"]).result();
    let theirs = scene.install_by_rpm();
    let wide = "amd64".parse::<Architecture>().unwrap().smallest_program();
    for path in ["opt/a/program", "opt/b/program"] {
        assert_eq!(fs::read(theirs.join(path)).unwrap(), wide, "rpm's {path}");
        assert_eq!(scene.bytes(path), wide, "{path}");
    }
    assert_eq!(scene.bytes("opt/a/text"), b"same\n");
}
