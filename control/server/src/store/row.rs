//! Columns of a row as what they mean. What is in the database and cannot be read is an error, never a default.

use super::StoreError;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::str::FromStr;

/// Reads columns by name.
pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
    fn text_or_none(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    fn number(&self, column: &'static str) -> Result<i64, StoreError>;
    fn number_or_none(&self, column: &'static str) -> Result<Option<i64>, StoreError>;

    /// A text that stands for something.
    fn id<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| StoreError::Column(column))
    }

    /// The same where there is one.
    fn id_or_none<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text = self.text_or_none(column)?;
        text.map(|text| text.parse().map_err(|_| StoreError::Column(column))).transpose()
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn text_or_none(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn number(&self, column: &'static str) -> Result<i64, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn number_or_none(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(column)?)
    }
}
