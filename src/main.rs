//! The `rentcar` command: the only place that knows all layers.

fn main() {}
