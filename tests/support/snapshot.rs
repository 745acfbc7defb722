//! Texts that are kept as files in `tests/snapshots` and compared. `COMPOSE_SNAPSHOTS=write` writes them instead.

use std::path::Path;

use compose::durable;

/// The text must be the one in `tests/snapshots/NAME`.
pub fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if is_writing() {
        durable::write(&path, text.as_bytes()).expect("a writable folder");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} is not what is expected; COMPOSE_SNAPSHOTS=write writes it anew", path.display());
}

#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
fn is_writing() -> bool {
    std::env::var("COMPOSE_SNAPSHOTS").is_ok_and(|value| value == "write")
}
