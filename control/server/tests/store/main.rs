//! The store, on SQLite in a folder of its own.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

mod app;
mod job;

use caution_server::store::{AccountId, AppId, OrganisationId, Store, app as apps};
use tempfile::TempDir;

/// A database with an account in an organisation.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) organisation: OrganisationId,
    pub(crate) account: AccountId,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::sqlite(&folder.path().join("a b?%.db")).await.unwrap();
        let (organisation, account) = (OrganisationId::new().unwrap(), AccountId::new().unwrap());
        let mut db = store.read().await.unwrap();
        let rows = [("account", account.to_string()), ("organisation", organisation.to_string())];
        for (table, id) in rows {
            let text = format!("INSERT INTO {table} (id, name, created_ms) VALUES ($1, $1, 0)");
            sqlx::query(sqlx::AssertSqlSafe(text)).bind(id).execute(&mut *db).await.unwrap();
        }
        drop(db);
        Self { store, organisation, account, _folder: folder }
    }

    pub(crate) async fn app(&self, name: &str) -> AppId {
        let mut db = self.store.read().await.unwrap();
        apps::create(&mut db, self.organisation, name, "main").await.unwrap().id
    }
}
