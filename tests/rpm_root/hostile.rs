//! Scriptlets that fail: each leaves an error that names it and its package.

use crate::fixture::Scene;

/// The first line of the error of a build with a package that has these sections, and all of the error.
fn told(sections: &str, options: &[&str]) -> Option<(String, String)> {
    let spec = format!("Requires: rpm\nRequires(pre): rpm\n%description\nx\n{sections}%files\n");
    let scene = Scene::new(&[("bad", &spec)])?;
    let failed = scene.compose(&[options, &["build", "m.yaml"]].concat());
    assert_eq!(failed.code, Some(2), "{}", failed.stderr);
    assert!(!scene.path().join("out/m.amd64.tar").exists());
    Some((failed.stderr.lines().next().unwrap_or_default().to_owned(), failed.stderr))
}

#[test]
fn a_scriptlet_that_fails_is_named() {
    for (sections, expected) in [
        ("%pre\nexit 3\n", "the %pre scriptlet of bad ended with exit status 3"),
        ("%post\nexit 4\n", "the %post scriptlet of bad ended with exit status 4"),
        ("%posttrans\nkill -9 $$\n", "the %posttrans scriptlet of bad was ended by signal 9"),
        ("%pretrans -p <lua>\nerror(\"no eels\")\n", "the %pretrans scriptlet of bad ended with exit status 1"),
        ("%filetriggerin -- /usr/bin\nfalse\n", "the %filetriggerin scriptlet of bad ended with exit status 1"),
        ("%triggerin -- rpm\nfalse\n", "the %triggerin scriptlet of bad for rpm ended with exit status 1"),
        (
            "%transfiletriggerin -p <lua> -- /usr\nlocal eels = nil eels()\n",
            "the %transfiletriggerin scriptlet of bad ended with exit status 1",
        ),
    ] {
        let Some((first, all)) = told(sections, &[]) else { return };
        assert_eq!(first, format!("error: cannot build m for amd64: {expected}"), "{all}");
        assert!(all.ends_with("hint: for a shell at that point: compose shell m.yaml\n"), "{all}");
    }
}

#[test]
fn a_scriptlet_that_does_not_end_is_named() {
    for sections in ["%post\nsleep 1000\n", "%post -p <lua>\nwhile true do end\n"] {
        let Some((first, all)) = told(sections, &["--script-timeout", "3s"]) else { return };
        let expected = "error: cannot build m for amd64: the %post scriptlet of bad did not end within 3 s";
        assert!(first.starts_with(expected), "{all}");
    }
}

#[test]
fn a_root_without_rpm_is_refused() {
    let Some(scene) = Scene::new(&[("alone", "%description\nx\n%files\n")]) else { return };
    let text = std::fs::read_to_string(scene.path().join("m.yaml")).unwrap().replace("- rpm\n", "");
    compose::durable::write(&scene.path().join("m.yaml"), text.as_bytes()).unwrap();
    scene.compose(&["update-lock", "m.yaml"]).result();
    let failed = scene.compose(&["build", "m.yaml"]);
    assert_eq!(
        failed.stderr,
        "error: cannot build m for amd64\n  caused by: no package of the lock has /usr/bin/rpm, without which its packages cannot be \
         installed\nhint: add rpm to `packages:`, and update the lock\n"
    );
}
