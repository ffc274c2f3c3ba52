//! Sample.
fn main() {}
