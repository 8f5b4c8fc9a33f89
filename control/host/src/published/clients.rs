//! Who is connected to the published ports of this process, as the kernel says: nothing in the path of bytes counts.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Connections to these TCP ports, and to sockets in the folder `run`, that this process holds.
pub(crate) fn connected(ports: &[u16], run: &Path) -> usize {
    let own = own_sockets();
    let read = |name: &str| fs::read_to_string(Path::new("/proc/self/net").join(name)).unwrap_or_default();
    let tcp: usize = ["tcp", "tcp6"].map(|table| count_tcp(&read(table), ports, &own)).iter().sum();
    tcp + count_unix(&read("unix"), run, &own)
}

/// The inodes of sockets that this process has open: proc(5), `/proc/PID/fd`.
fn own_sockets() -> HashSet<u64> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// Columns of `/proc/net/tcp`: number, local address, remote address, state, …, inode as the tenth.
fn count_tcp(table: &str, ports: &[u16], own: &HashSet<u64>) -> usize {
    let of_ours = |line: &&str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, state, .., inode] = columns.get(..10).unwrap_or_default() else { return false };
        let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        let inode = inode.parse().is_ok_and(|inode| own.contains(&inode));
        *state != LISTEN && inode && port.is_some_and(|port| ports.contains(&port))
    };
    table.lines().skip(1).filter(of_ours).count()
}

/// Columns of `/proc/net/unix`: address, references, protocol, flags, type, state, inode, path. What was accepted
/// has the path of its listener.
fn count_unix(table: &str, run: &Path, own: &HashSet<u64>) -> usize {
    let of_ours = |line: &&str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, _, _, _, _, state, inode, path] = columns[..] else { return false };
        let inode = inode.parse().is_ok_and(|inode| own.contains(&inode));
        let served =
            [crate::published::listeners::HTTP_SOCKET, crate::published::listeners::ATTESTATION_SOCKET];
        let path = Path::new(path);
        let name = path.file_name().and_then(|name| name.to_str());
        state == CONNECTED
            && inode
            && path.parent() == Some(run)
            && name.is_some_and(|name| served.contains(&name))
    };
    table.lines().skip(1).filter(of_ours).count()
}

/// `TCP_LISTEN` of include/net/tcp_states.h.
const LISTEN: &str = "0A";
/// `SS_CONNECTED` of include/uapi/linux/net.h.
const CONNECTED: &str = "03";

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn accepted_connections_count_as_long_as_they_are_held() {
        let run = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let http = UnixListener::bind(run.path().join("http")).unwrap();
        let other = UnixListener::bind(run.path().join("stop")).unwrap();
        let count = || connected(&[port], run.path());
        assert_eq!(count(), 0);
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _proxy = UnixStream::connect(run.path().join("http")).unwrap();
        let _stopper = UnixStream::connect(run.path().join("stop")).unwrap();
        assert_eq!(count(), 0, "what waits in the queue was not taken");
        let held = (tcp.accept().unwrap(), http.accept().unwrap(), other.accept().unwrap());
        assert_eq!(count(), 2);
        // The client goes; what it has not read yet is still ours to write.
        drop(held);
        assert_eq!(count(), 0);
    }
}
