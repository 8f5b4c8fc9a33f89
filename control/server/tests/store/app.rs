use super::Fixture;
use caution_server::store::{OrganisationId, StoreError, app};

#[tokio::test]
async fn a_name_is_given_once_in_an_organisation_and_a_label_once_at_all() {
    let here = Fixture::new().await;
    let mut db = here.store.read().await.unwrap();
    let first = app::create(&mut db, here.organisation, "hello", "main").await.unwrap();
    assert_eq!((first.label.as_str(), first.deploy_branch.as_str()), ("hello", "main"));
    let again = app::create(&mut db, here.organisation, "hello", "main").await;
    assert!(matches!(again, Err(StoreError::Taken)), "{again:?}");

    let other = OrganisationId::new().unwrap();
    sqlx::query("INSERT INTO organisation (id, name, created_ms) VALUES ($1, 'other', 0)")
        .bind(other.to_string())
        .execute(&mut *db)
        .await
        .unwrap();
    let second = app::create(&mut db, other, "hello", "main").await.unwrap();
    assert_eq!(second.name, "hello");
    assert!(second.label.starts_with("hello-") && second.label.len() == 14, "{}", second.label);

    let renamed = app::rename(&mut db, first.id, "greeter").await.unwrap().unwrap();
    assert_eq!((renamed.name.as_str(), renamed.label.as_str()), ("greeter", "hello"));
}

#[tokio::test]
async fn apps_are_listed_by_name_in_pages_and_not_once_they_are_being_destroyed() {
    let here = Fixture::new().await;
    for name in ["c", "a", "b", "d"] {
        here.app(name).await;
    }
    let mut db = here.store.read().await.unwrap();
    let page = app::list(&mut db, here.organisation, None, "a", 2).await.unwrap();
    assert_eq!(page.iter().map(|(app, _)| app.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert!(app::begin_destroying(&mut db, page[0].0.id).await.unwrap());
    assert!(!app::begin_destroying(&mut db, page[0].0.id).await.unwrap());
    let page = app::list(&mut db, here.organisation, None, "", 10).await.unwrap();
    assert_eq!(page.len(), 3);
    // One that nobody asked to destroy stays.
    app::forget(&mut db, page[0].0.id).await.unwrap();
    assert!(app::find(&mut db, page[0].0.id).await.unwrap().is_some());
    assert_eq!(app::count(&mut db, here.organisation).await.unwrap(), 4);
    assert_eq!(app::list(&mut db, OrganisationId::new().unwrap(), None, "", 10).await.unwrap(), []);
}
