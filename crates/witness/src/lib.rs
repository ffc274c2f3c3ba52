//! Notes which operation of the contract a test called, and with which outcome: what `docs/contract-coverage.md` is made of.
//!
//! A line for each request, to the file that `PORTICO_WITNESSES` names; nothing without it. `scripts/coverage.py` matches the
//! lines with the operations of the contract.

use std::io::Write as _;

/// Notes a request of the running test: method, path with or without query, status of the reply.
///
/// # Panics
/// When the file cannot be written: a page made of half the lines would claim that tests are gone.
pub fn note(method: &str, path: &str, status: u16) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of whoever runs the tests, not of what is tested"
    )]
    let Ok(file) = std::env::var("PORTICO_WITNESSES") else {
        return;
    };
    // The harness names the thread of a test after it; requests of other threads have no test to name.
    let thread = std::thread::current();
    let Some(test) = thread.name().filter(|name| name.contains("::")) else {
        return;
    };
    let program = std::env::current_exe().expect("the path of this program");
    let program = program
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let program = program.rsplit_once('-').map_or(program, |(name, _)| name);
    // Both forms of GET of an API are operations of their own.
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let export = if query.to_ascii_lowercase().contains("export=true") {
        "?export=true"
    } else {
        ""
    };
    let line = format!("{program} {test}\t{method}\t{path}{export}\t{status}\n");
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("{file}: {error}"));
}
