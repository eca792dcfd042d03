//! The workers of the browser application.
fn main() {}
