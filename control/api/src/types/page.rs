//! Long lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which part of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PageQuery {
    /// How many at most: 1 to 100, 50 where absent.
    pub limit: Option<u32>,
    /// `next_page` of the page before.
    pub page_token: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// The `page_token` of what follows; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page: Option<String>,
}
