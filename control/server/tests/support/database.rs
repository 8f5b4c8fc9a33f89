//! The database of a test: a file of SQLite, or one of its own in a PostgreSQL that was started for the tests.

use caution_server::store::{PostgresAddress, Store};
use sqlx::{Connection as _, PgConnection};
use std::env;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A database that nothing is in: SQLite's file of this path, or one in PostgreSQL where these tests are run with it.
#[allow(dead_code, reason = "not every program of tests opens its databases itself")]
pub(crate) async fn fresh(file: &Path) -> Store {
    match address().await {
        Some(address) => Store::postgres(&address).await.unwrap(),
        None => Store::sqlite(file).await.unwrap(),
    }
}

/// The address of a database that nothing is in, where these tests are run with PostgreSQL.
pub(crate) async fn address() -> Option<PostgresAddress> {
    Some(text().await?.parse().unwrap())
}

/// The same, as it stands in settings.
pub(crate) async fn text() -> Option<String> {
    match sockets() {
        Some(sockets) => Some(database_in(&sockets).await),
        None => None,
    }
}

/// Runs the tests of this program once more, with PostgreSQL. `name` is that of the test that asks for it.
pub(crate) fn everything_again(name: &str) {
    if sockets().is_some() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let mut tests = Command::new(env::current_exe().unwrap());
    // One that was asked for by its name is run with the filter that found it, else everything is.
    let status = tests.args(["--skip", name]).env(VARIABLE, cluster.sockets()).status().unwrap();
    assert!(status.success(), "with PostgreSQL, what is above failed");
}

/// A PostgreSQL of its own in a folder of its own, reached by a socket in it.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
}

impl Cluster {
    /// Starts one. Where it is not installed nothing is tested, and that is said.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            // Not by `eprintln!`, which nobody sees where the test passes.
            let _ = writeln!(io::stderr(), "NOT TESTED: no PostgreSQL here (apt-get install postgresql)");
            return None;
        };
        let cluster = Self { folder: tempfile::tempdir().unwrap(), programs };
        if is_root() {
            chown(cluster.folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = cluster.data();
        let options =
            ["--username=caution", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"];
        cluster.run(cluster.program("initdb").args(options).arg(&data));
        cluster.begin();
        Some(cluster)
    }

    /// The folder with the socket.
    pub(crate) fn sockets(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it, again. It answers when this returns.
    pub(crate) fn begin(&self) {
        let sockets = self.sockets().display();
        let options = format!("-c fsync=off -c max_connections=400 -c listen_addresses= -k {sockets}");
        let log = self.folder.path().join("log");
        self.run(
            self.program("pg_ctl")
                .args(["start", "-w", "-o", &options, "-l"])
                .arg(log)
                .arg("-D")
                .arg(self.data()),
        );
    }

    /// Ends it as if it had crashed.
    #[allow(dead_code, reason = "not every program of tests ends its database")]
    pub(crate) fn end(&self) {
        self.run(self.program("pg_ctl").args(["stop", "-w", "-m", "immediate", "-D"]).arg(self.data()));
    }

    /// The address of a database that nothing is in.
    #[allow(dead_code, reason = "programs of tests that stop a database make one in it first")]
    pub(crate) async fn database(&self) -> PostgresAddress {
        database_in(self.sockets()).await.parse().unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// It refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// What it says goes to a file: the server that it starts keeps what it was given.
    fn run(&self, command: &mut Command) {
        let said = self.folder.path().join("said");
        let out = std::fs::File::create(&said).unwrap();
        let status =
            command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
        assert!(status.success(), "{command:?}: {}", std::fs::read_to_string(said).unwrap());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.args(["stop", "-w", "-m", "immediate", "-D"]).arg(self.data());
        let _ = stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

async fn database_in(sockets: &Path) -> String {
    let name = format!("t{}", caution_server::clock::new_id().unwrap().as_simple());
    let address =
        |database: &str| format!("postgres://caution@localhost/{database}?host={}", sockets.display());
    let mut connection = PgConnection::connect(&address("postgres")).await.unwrap();
    let create = format!("CREATE DATABASE {name} TEMPLATE template0");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    address(&name)
}

/// Debian has them outside the search path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    folders
        .chain(env::split_paths(&env_os("PATH").unwrap_or_default()))
        .find(|folder| folder.join("initdb").exists())
}

fn sockets() -> Option<PathBuf> {
    env_os(VARIABLE).map(PathBuf::from)
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by their environment which database they run with"
)]
fn env_os(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Tells a program of tests where PostgreSQL's socket is.
const VARIABLE: &str = "CAUTION_TEST_POSTGRES";
/// The user and group that own nothing.
const NOBODY: u32 = 65534;
