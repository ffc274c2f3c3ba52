//! odata
