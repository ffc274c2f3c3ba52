//! engine-derive
