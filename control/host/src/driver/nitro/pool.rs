//! What the allocator has set apart for enclaves: huge pages and CPUs (`/etc/nitro_enclaves/allocator.yaml`).

use super::error::NitroError;
use std::fs;
use std::path::Path;

/// The pool of this parent, as its kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// Of that, in no enclave.
    pub(crate) free_mib: u64,
    /// CPUs, those of enclaves too.
    pub(crate) cpus: u64,
}

impl Pool {
    /// Reads it below `sys`, which is `/sys`. What cannot be read counts as nothing: without it no enclave starts.
    pub(super) fn read(sys: &Path) -> Self {
        let pages = fs::read_dir(sys.join("kernel/mm/hugepages")).into_iter().flatten().flatten();
        let (mut memory_kib, mut free_kib) = (0, 0);
        for folder in pages.map(|entry| entry.path()) {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let size =
                name.strip_prefix("hugepages-").and_then(|size| size.strip_suffix("kB")?.parse::<u64>().ok());
            let size = size.unwrap_or_default();
            memory_kib += size.saturating_mul(number(&folder.join("nr_hugepages")));
            free_kib += size.saturating_mul(number(&folder.join("free_hugepages")));
        }
        let cpus = text(&sys.join("module/nitro_enclaves/parameters/ne_cpus"));
        Self { memory_mib: memory_kib / 1024, free_mib: free_kib / 1024, cpus: count(cpus.trim()) }
    }

    /// Refuses what it has not enough of. Which CPUs are free, nitro-cli knows.
    pub(super) fn admit(&self, memory_mib: u32, cpus: u32) -> Result<(), NitroError> {
        let (memory_mib, cpus) = (u64::from(memory_mib), u64::from(cpus));
        if memory_mib > self.free_mib {
            let (unit, setting) = (" MiB of memory", "memory_mib");
            return Err(NitroError::Pool {
                unit,
                asked: memory_mib,
                free: self.free_mib,
                whole: self.memory_mib,
                setting,
            });
        }
        if cpus > self.cpus {
            let (unit, setting) = (" CPUs", "cpu_count");
            return Err(NitroError::Pool { unit, asked: cpus, free: self.cpus, whole: self.cpus, setting });
        }
        Ok(())
    }
}

/// How many numbers a list of the kernel names, such as `1,3` or `2-5,9`.
fn count(numbers: &str) -> u64 {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
        (last.checked_sub(first)?).checked_add(1)
    };
    numbers.split(',').filter_map(part).fold(0, u64::saturating_add)
}

fn number(path: &Path) -> u64 {
    text(path).trim().parse().unwrap_or_default()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_read_and_what_does_not_fit_is_refused_with_the_sum() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(Pool::read(sys.path()), Pool { memory_mib: 0, free_mib: 0, cpus: 0 });
        let write = |path: &str, text: &str| {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
        write("kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "256\n");
        write("kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "3\n");
        write("kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n");
        write("module/nitro_enclaves/parameters/ne_cpus", "1-2,9\n");
        let pool = Pool::read(sys.path());
        assert_eq!(pool, Pool { memory_mib: 4096, free_mib: 1536, cpus: 3 });
        pool.admit(1536, 3).unwrap();
        let refused = pool.admit(1537, 1).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "The enclave needs 1537 MiB of memory, and the pool that is set apart for enclaves has 1536 free of 4096."
        );
        let fix = refused.fix().unwrap();
        assert!(fix.contains("`memory_mib` in /etc/nitro_enclaves/allocator.yaml"), "{fix}");
        assert!(pool.admit(64, 4).unwrap_err().fix().unwrap().contains("`cpu_count`"));
    }

    #[test]
    fn lists_of_the_kernel_are_counted() {
        for (list, expected) in
            [("", 0), ("3", 1), ("1,3", 2), ("2-5,9", 5), ("5-2", 0), ("x,1", 1), ("(null)", 0)]
        {
            assert_eq!(count(list), expected, "{list}");
        }
    }
}
