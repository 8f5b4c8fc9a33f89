//! What lies on the disk of live enclaves and of apps that ended: folders, records, images, logs.

pub(crate) mod deployed;
pub(crate) mod eventlog;
pub(crate) mod private_dir;
pub(crate) mod reception;
pub(crate) mod record;
pub(crate) mod runtime;
