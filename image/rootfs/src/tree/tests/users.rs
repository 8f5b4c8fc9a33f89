use super::*;
use crate::tree::{ResolvedUser, UserError, resolve_user};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    app:x:1000:1001:An app:/home/app:/bin/sh\n\
    broken:x:abc:1:::\n\
    1234:x:5:6:::\n\
    short:x\n";
const GROUP: &str = "root:x:0:\nwheel:x:10:app,root\napp:x:1001:\ndocker:x:20:other,app\nbad:x:xyz:victim\n";

fn tree() -> Tree {
    merged([Layer::new()
        .file("etc/passwd", PASSWD)
        .file("usr/group", GROUP)
        .symlink("etc/group", "../usr/group")])
    .unwrap()
}

fn resolved(user: &str) -> (u32, u32, Vec<u32>) {
    let ResolvedUser { uid, gid, groups } = resolve_user(&tree(), user).unwrap();
    (uid, gid, groups)
}

#[test]
fn every_form_resolves_as_engines_do() {
    assert_eq!(resolved(""), (0, 0, vec![0, 10]));
    assert_eq!(resolved("root"), (0, 0, vec![0, 10]));
    assert_eq!(resolved("app"), (1000, 1001, vec![10, 20, 1001]));
    assert_eq!(resolved("1000"), (1000, 1001, vec![10, 20, 1001]));
    // A group that is named takes the place of all others.
    assert_eq!(resolved("app:wheel"), (1000, 10, vec![10]));
    assert_eq!(resolved("1000:1000"), (1000, 1000, vec![1000]));
    assert_eq!(resolved(":wheel"), (0, 10, vec![10]));
    // A number without a line.
    assert_eq!(resolved("77"), (77, 0, vec![0]));
    assert_eq!(resolved("77:88"), (77, 88, vec![88]));
    // Digits are a number, even where a user is called so.
    assert_eq!(resolved("1234"), (1234, 0, vec![0]));
}

#[test]
fn an_image_without_passwd_takes_numbers_alone() {
    let tree = merged([]).unwrap();
    let root = ResolvedUser { uid: 0, gid: 0, groups: vec![0] };
    assert_eq!(resolve_user(&tree, "").unwrap(), root);
    assert_eq!(resolve_user(&tree, "5:6").unwrap(), ResolvedUser { uid: 5, gid: 6, groups: vec![6] });
    assert!(matches!(resolve_user(&tree, "app"), Err(UserError::UnknownUser { .. })));
}

#[test]
fn refusals_are_named() {
    let wrong = |user| resolve_user(&tree(), user).unwrap_err();
    assert!(matches!(wrong("nobody"), UserError::UnknownUser { .. }));
    assert!(matches!(wrong("app:nogroup"), UserError::UnknownGroup { .. }));
    assert!(matches!(wrong("a:b:c"), UserError::Form { .. }));
    assert!(matches!(wrong("2147483648"), UserError::Range { number: 2_147_483_648 }));
    assert!(matches!(wrong("99999999999999999999"), UserError::Range { .. }));
    assert!(matches!(wrong("broken"), UserError::Line { file: "/etc/passwd", .. }));
    assert!(matches!(wrong("app:bad"), UserError::Line { file: "/etc/group", .. }));
    let big = "x".repeat((1 << 20) + 1);
    let tree = merged([Layer::new().file("etc/passwd", &big)]).unwrap();
    assert!(matches!(resolve_user(&tree, "app"), Err(UserError::Read { .. })));
}
