//! Work that outlives the process: builds, deployments, ends of apps.

pub mod phase;
