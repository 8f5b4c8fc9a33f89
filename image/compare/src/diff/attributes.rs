//! Permission bits, owners and times.

use super::Aspect;
use crate::cause::{Attribution, Cause};
use crate::side::Listed;

/// What differs around the content, and why.
pub(super) fn attributions(
    left: Option<&Listed>,
    right: Option<&Listed>,
    aspects: &[Aspect],
) -> Vec<Attribution> {
    let (Some(left), Some(right)) = (left, right) else { return Vec::new() };
    let (left, right) = (&left.entry, &right.entry);
    let attribution = |aspect: &Aspect| match aspect {
        Aspect::Mode => Some(Cause::Mode.shown_by(mode(left.mode, right.mode))),
        Aspect::Owner => {
            let evidence = format!("owner {}:{} → {}:{}", left.uid, left.gid, right.uid, right.gid);
            Some(Cause::Owner.shown_by(evidence))
        }
        Aspect::Mtime => {
            let shown = |mtime: Option<i64>| mtime.map_or_else(|| "none".to_owned(), |at| at.to_string());
            let evidence = format!(
                "time of the entry {} → {} (seconds since 1970)",
                shown(left.mtime),
                shown(right.mtime)
            );
            let fix =
                "give files a fixed time before they are packed: touch -d @$SOURCE_DATE_EPOCH, tar --mtime";
            Some(Attribution { cause: Cause::EmbeddedTime, evidence, fix: fix.into() })
        }
        _ => None,
    };
    aspects.iter().filter_map(attribution).collect()
}

/// Whether something differs that is neither content nor named by [`attributions`].
pub(super) fn are_unexplained(left: Option<&Listed>, right: Option<&Listed>, aspects: &[Aspect]) -> bool {
    let open = [Aspect::Kind, Aspect::Target, Aspect::Device, Aspect::Links];
    left.is_none() || right.is_none() || aspects.iter().any(|aspect| open.contains(aspect))
}

/// The bits of both, and the masks that would make the one of the other.
fn mode(left: u32, right: u32) -> String {
    let change = format!("mode {left:04o} → {right:04o}");
    let as_umask = |wide: u32, narrow: u32| {
        UMASKS
            .into_iter()
            .find(|mask| wide & !mask == narrow && wide != narrow)
            .map(|mask| format!("{mask:03o}"))
    };
    match (as_umask(left, right), as_umask(right, left)) {
        (Some(mask), _) => format!("{change}, as umask {mask} gives it on the right"),
        (_, Some(mask)) => format!("{change}, as umask {mask} gives it on the left"),
        _ => change,
    }
}

/// Those in use.
const UMASKS: [u32; 5] = [0o002, 0o022, 0o007, 0o027, 0o077];
