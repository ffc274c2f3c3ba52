//! arm-id
