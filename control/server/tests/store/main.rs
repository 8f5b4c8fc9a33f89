//! The store, on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

mod app;
#[path = "../support/database.rs"]
mod database;
mod jobs;

use caution_server::store::job::{self, NewJob, Work};
use caution_server::store::{AccountId, AppId, OrganisationId, Store, StoreError, app as apps};
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
        let store = database::fresh(&folder.path().join("a b?%.db")).await;
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

#[tokio::test]
async fn a_database_belongs_to_one_data_folder() {
    let here = Fixture::new().await;
    let (one, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    here.store.belongs_to(one).await.unwrap();
    here.store.belongs_to(one).await.unwrap();
    assert!(matches!(here.store.belongs_to(other).await, Err(StoreError::OtherFolder)));
}

/// As they come from several requests at once: each is whole, and none is refused because of another one.
#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_are_made_one_after_the_other() {
    let here = Fixture::new().await;
    let app = here.app("a").await;
    let mut all = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (store, made_by) = (here.store.clone(), here.account);
        all.spawn(async move {
            let mut change = store.change().await.unwrap();
            let new = NewJob { app, work: Work::Build(n.to_string()), made_by };
            let number = job::queue(&mut change, &new).await.unwrap().number;
            change.commit().await.unwrap();
            number
        });
    }
    let mut numbers = all.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).map(|n| n * 2).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_brought_up_to_date_once_however_many_begin_with_it() {
    let Some(address) = database::address().await else { return };
    let opened = futures_util::future::join_all((0..4).map(|_| Store::postgres(&address))).await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
}

#[test]
fn everything_holds_with_postgresql_too() {
    database::everything_again("everything_holds_with_postgresql_too");
}
