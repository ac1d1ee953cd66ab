//! The actor runtime on ractor: what is not about cars.
