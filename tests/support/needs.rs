//! What a test needs of the machine: without it the test is skipped in words, or fails where everything is to be tested.

/// What was needed; [`None`] when the machine lacks it, which ends the test. `COMPOSE_TESTS=all` makes that a failure.
pub fn needs<T>(found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(reason) if everything_is_tested() => panic!("COMPOSE_TESTS=all, but this cannot be tested here: {reason}"),
        Err(reason) => {
            let thread = std::thread::current();
            eprintln!("{} is skipped: {reason}", thread.name().unwrap_or("a test"));
            None
        }
    }
}

/// Who runs the test must be root.
pub fn root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("only root can do this".to_owned()) }
}

/// A program of the host must be there.
pub fn host_program(name: &str, argument: &str) -> Result<(), String> {
    let output = std::process::Command::new(name).arg(argument).output();
    output.map(drop).map_err(|e| format!("the program {name} cannot be run: {e}"))
}

#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
fn everything_is_tested() -> bool {
    std::env::var("COMPOSE_TESTS").is_ok_and(|value| value == "all")
}
