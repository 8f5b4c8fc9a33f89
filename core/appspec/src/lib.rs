//! Procfile and caution.hcl: text to [`AppSpec`], with every error at once.

mod spec;

pub use spec::*;
