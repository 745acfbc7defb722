//! Every kind of scriptlet leaves a line with its arguments and what it read: the lines are those of rpm itself.

use std::fmt::Write as _;
use std::fs;

use crate::fixture::Scene;

/// A package with all kinds of scriptlets, some of them in Lua.
fn everything(name: &str, needs: &str) -> String {
    let mut spec = format!(
        "{needs}%description\nx\n%install\nmkdir -p %{{buildroot}}/opt/t/{name}\necho {name} > %{{buildroot}}/opt/t/{name}/f\n\
         ln -s f %{{buildroot}}/opt/t/{name}/l\n"
    );
    let shell = |spec: &mut String, head: &str, words: &str| {
        writeln!(spec, "{head}\necho {name} {words} \"$@\" >> /log").unwrap();
    };
    let lua = |spec: &mut String, head: &str, words: &str| {
        let log = "local log = io.open(\"/log\", \"a\")";
        writeln!(
            spec,
            "{head}\n{log}\nlog:write(\"{name} {words} \", table.concat(arg, \" \", 2), \"\\n\")\nlog:close()"
        )
        .unwrap();
    };
    // Nothing but Lua runs in an empty root.
    lua(&mut spec, "%pretrans -p <lua>", "pretrans");
    for kind in ["pre", "post", "posttrans"] {
        if name == "bb" {
            lua(&mut spec, &format!("%{kind} -p <lua>"), kind);
        } else {
            shell(&mut spec, &format!("%{kind}"), kind);
        }
    }
    for kind in ["triggerprein", "triggerin"] {
        for other in ["aa", "bb = 1", "cc > 1", "cc"] {
            shell(&mut spec, &format!("%{kind} -- {other}"), &format!("{kind} '{other}'"));
        }
        lua(&mut spec, &format!("%{kind} -p <lua> -- aa, cc"), &format!("{kind} aa, cc"));
    }
    for kind in ["filetriggerin", "transfiletriggerin"] {
        for priority in ["", "-P 100", "-P 2000000"] {
            let head = format!("%{kind} {priority} -- /opt/t/{name} /opt");
            writeln!(spec, "{head}\necho {name} {kind} '{priority}' \"$@\" $(cat) >> /log").unwrap();
        }
        let next = "for path in rpm.next_file do log:write(\" \", path) end";
        let next = if name == "cc" {
            "local path = rpm.next_file() while path do log:write(\" \", path) path = rpm.next_file() end"
        } else {
            next
        };
        writeln!(
            spec,
            "%{kind} -p <lua> -P 500 -- /opt/t\nlocal log = io.open(\"/log\", \"a\")\nlog:write(\"{name} {kind} lua\")\n{next}\nlog:write(\"\\n\")\nlog:close()"
        )
        .unwrap();
    }
    spec + &format!("%files\n/opt/t/{name}\n")
}

/// A package that could be moved: its scriptlets are told where it is.
fn movable() -> String {
    let mut spec =
        "Requires: dd\nPrefix: /opt/e\nPrefix: /srv\n%description\nx\n%install\nmkdir -p %{buildroot}/opt/e\n\
                    echo ee > %{buildroot}/opt/e/f\n"
            .to_owned();
    for kind in ["%pre", "%post", "%posttrans -e", "%triggerin -- aa", "%filetriggerin -- /opt/e"] {
        let told = "$RPM_INSTALL_PREFIX $RPM_INSTALL_PREFIX0 $RPM_INSTALL_PREFIX1";
        writeln!(spec, "{kind}\necho 'ee {kind}' {told} \"$RPM_INSTALL_PREFIX2\" >> /log").unwrap();
    }
    spec + "%files\n/opt/e\n"
}

#[test]
fn scriptlets_run_as_rpm_runs_them() {
    let plain = "Requires: cc\n%description\nx\n%post -p /usr/bin/true\n%posttrans -e\necho dd %{name} %%x $0 >/dev/null\n\
                 echo dd posttrans %{?nothing}%{lua:print(1+1)} \"$@\" >> /log\n%files\n";
    let (aa, bb, cc) =
        (everything("aa", "Requires: rpm\n"), everything("bb", "Requires: aa\n"), everything("cc", "Requires: bb\n"));
    let packages = [("aa", &*aa), ("bb", &bb), ("cc", &cc), ("dd", plain), ("ee", &movable())];
    let Some(scene) = Scene::new(&packages) else { return };
    let own = scene.read("log");
    let theirs = fs::read_to_string(scene.install_by_rpm().join("log")).unwrap();
    assert!(theirs.lines().count() > 60, "{theirs}");
    assert_eq!(own, theirs);
}
