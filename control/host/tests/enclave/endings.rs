//! Every way a run can end, and that nothing is left after it.

use crate::support::{
    Place, archive, config, eventually, image, release, write_image, write_parts, write_ramdisks,
};
use crate::{Running, program};
use caution_abi::control::Exit;
use caution_abi::seal::{self, Seal};
use caution_host::{
    Ending, HostError, HostEvent, LogEntry, Options, Progress, Record, RunConfig, StopHandle, deployed_image,
    find, list, logs, run_detached, run_with, stop,
};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

const AGENT: &str = env!("CARGO_BIN_EXE_caution-host");

pub(crate) fn signal(pid: i32, name: &str) {
    let status = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

fn detach(place: &Place, eif: &Path) -> Record {
    run_detached(&place.dirs, &config(eif), Path::new(AGENT), &mut |_| {}).unwrap()
}

fn last_event(place: &Place) -> HostEvent {
    let entries: Vec<LogEntry> = logs(&place.dirs, "test", false).unwrap().collect();
    entries.last().unwrap().event.clone()
}

pub(crate) fn qemu(place: &Place) -> i32 {
    let found = place.processes().into_iter().find(|(_, name)| name.starts_with("qemu-system"));
    found.unwrap().0
}

/// Direct children, with their command lines.
fn children_of(parent: i32) -> Vec<(i32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .map(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid.parse().unwrap(), String::from_utf8_lossy(&command).replace('\0', " "))
        })
        .collect()
}

#[test]
fn a_detached_enclave_is_listed_stopped_and_its_log_stays() {
    let release = release();
    let place = Place::new();
    let record = detach(&place, image(&release));
    assert_eq!(list(&place.dirs).unwrap(), std::slice::from_ref(&record));
    assert_eq!(find(&place.dirs, &record.id).unwrap(), record);
    let deployed = deployed_image(&place.dirs, &record).unwrap();
    assert_eq!(std::fs::read(deployed).unwrap(), std::fs::read(image(&release)).unwrap());
    assert_eq!(stop(&place.dirs, &record.id).unwrap(), Ending::Stopped);
    assert_eq!(list(&place.dirs).unwrap(), []);
    assert_eq!(last_event(&place), HostEvent::Ended(Ending::Stopped));
    place.assert_clean();
}

#[test]
fn killing_the_agent_leaves_nothing() {
    let release = release();
    let place = Place::new();
    let record = detach(&place, image(&release));
    assert!(!place.processes().is_empty());
    signal(record.pid, "KILL");
    place.assert_clean();
    assert!(matches!(find(&place.dirs, "test"), Err(HostError::NotRunning(_))));
}

#[test]
fn killing_agent_and_janitor_leaves_no_process_and_the_next_list_removes_the_rest() {
    let release = release();
    let place = Place::new();
    let record = detach(&place, image(&release));
    let janitor = children_of(record.pid).into_iter().find(|(_, command)| command.contains("janitor"));
    signal(janitor.unwrap().0, "KILL");
    signal(record.pid, "KILL");
    eventually("QEMU dies with its agent", || place.processes().is_empty());
    assert_eq!(place.left_in_runtime(), [record.id]);
    // The lock is let go a moment after the process is dead.
    eventually("the folder is swept", || {
        list(&place.dirs).unwrap().is_empty() && place.left_in_runtime().is_empty()
    });
}

#[test]
fn sigterm_ends_an_agent_in_order() {
    let release = release();
    let place = Place::new();
    let record = detach(&place, image(&release));
    signal(record.pid, "TERM");
    place.assert_clean();
    eventually("the log ends", || last_event(&place) == HostEvent::Ended(Ending::Stopped));
}

#[test]
fn killing_qemu_is_reported_and_leaves_nothing() {
    let release = release();
    let place = Place::new();
    let mut running = Running::ready(&place.dirs, &config(image(&release)));
    signal(qemu(&place), "KILL");
    let error = running.outcome().unwrap_err();
    assert!(matches!(&error, HostError::QemuEnded { progress: Progress::Phase(_), .. }), "{error}");
    assert!(error.to_string().contains("SIGKILL"), "{error}");
    assert!(matches!(last_event(&place), HostEvent::Failed { .. }));
    place.assert_clean();
}

#[test]
fn an_app_that_ends_says_how() {
    let release = release();
    let place = Place::new();
    let mut running = Running::ready(&place.dirs, &config(image(&release)));
    let mut stream = running.connect(8005);
    stream.write_all(b"7\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    match running.outcome().unwrap() {
        Ending::PoweredOff { reason, last_exit } => {
            assert_eq!(last_exit, Some(Exit::Status { code: 7 }));
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
    place.assert_clean();
}

#[test]
fn a_stop_during_boot_is_heeded() {
    let release = release();
    let place = Place::new();
    let mut running = Running::start(&place.dirs, &config(image(&release)));
    running.wait_for(|event| *event == HostEvent::Booting);
    assert_eq!(running.stop().unwrap(), Ending::Stopped);
    place.assert_clean();
}

#[test]
fn a_guest_without_init_is_named_with_how_far_it_came() {
    let release = release();
    let place = Place::new();
    let eif = place.file("bare.eif");
    write_ramdisks(&eif, &release, &[&archive(&[("empty", 0o755, None)])]);
    let error = Running::start(&place.dirs, &config(&eif)).outcome().unwrap_err();
    assert!(matches!(error, HostError::GuestReset { progress: Progress::Powered, debug: false }), "{error}");
    assert_eq!(error.fix().unwrap(), "run it with --debug to see the console");
    place.assert_clean();
}

#[test]
fn a_silent_guest_is_given_up() {
    let release = release();
    let place = Place::new();
    let eif = place.file("silent.eif");
    // An init that never says anything: the test application waits for clients.
    let app = std::fs::read(image(&release).with_file_name("app")).unwrap();
    write_ramdisks(&eif, &release, &[&archive(&[("init", 0o755, Some(&app))])]);
    let heartbeat_limit = Duration::from_millis(300);
    let options =
        Options { program: program(), stop: StopHandle::default(), heartbeat_limit, ..Options::default() };
    let error = run_with(&place.dirs, &config(&eif), &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, HostError::BootTimeout { progress: Progress::Powered, .. }), "{error}");
    place.assert_clean();
}

#[test]
fn an_image_without_a_boot_plan_says_so_from_inside() {
    let release = release();
    let place = Place::new();
    let seal = Seal::new(0).to_bytes();
    let ramdisk = archive(&[("rootfs", 0o755, None), (seal::PATH, 0o444, Some(&seal))]);
    let reason = reason_of(&place, &config(&write_image("planless.eif", &release, &ramdisk)));
    assert!(reason.contains("the boot plan /boot.json could not be read"), "{reason}");
    place.assert_clean();
}

/// Why the enclave says that it does not run.
fn reason_of(place: &Place, config: &RunConfig) -> String {
    match Running::start(&place.dirs, config).outcome().unwrap() {
        Ending::PoweredOff { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// An image that is admitted, as its bytes fit; but each file takes a page and an inode of its own. The
/// kernel runs out of the one in the middle of a file and stops unpacking, and skips what it has no more
/// of the other for.
#[test]
fn an_app_that_memory_was_too_small_for_says_so_from_inside() {
    let release = release();
    for content in [&b"x"[..], b""] {
        let place = Place::new();
        let names: Vec<String> = (0..20_000).map(|file| format!("rootfs/{file:05}")).collect();
        let seal = Seal::new(names.len() as u64).to_bytes();
        let mut entries = vec![("rootfs", 0o755, None)];
        entries.extend(names.iter().map(|name| (name.as_str(), 0o644, Some(content))));
        entries.push((seal::PATH, 0o444, Some(&seal)));
        let eif = write_image(&format!("many-{}.eif", content.len()), &release, &archive(&entries));
        let reason = reason_of(&place, &RunConfig { memory_mib: 64, ..config(&eif) });
        assert!(reason.contains("files were not unpacked completely: "), "{reason}");
        assert!(reason.contains("The enclave has too little memory; give it more (`memory`)"), "{reason}");
        place.assert_clean();
    }
}

#[test]
fn an_app_with_a_name_missing_says_how_many_there_are() {
    let release = release();
    let place = Place::new();
    let seal = Seal::new(2).to_bytes();
    let ramdisk = archive(&[
        ("rootfs", 0o755, None),
        ("rootfs/one", 0o755, Some(b"")),
        (seal::PATH, 0o444, Some(&seal)),
    ]);
    let reason = reason_of(&place, &config(&write_image("one.eif", &release, &ramdisk)));
    assert!(reason.contains("only 1 of 2 names are there"), "{reason}");
    place.assert_clean();
}

/// PCRs cover the parts of an image in a row and not where one ends: the first option at the end of the
/// kernel measures the same, and is no option any more.
#[test]
fn an_option_that_was_moved_into_the_kernel_is_missed_from_inside() {
    let release = release();
    let place = Place::new();
    let kernel = std::fs::read(release.kernel_path()).unwrap();
    let platform = std::fs::read(release.ramdisk_path()).unwrap();
    let (first, rest) = release.cmdline().split_once(' ').unwrap();
    let moved = [&kernel, first.as_bytes(), b" "].concat();
    let eif = place.file("moved.eif");
    write_parts(&eif, &moved, rest, &[&platform, &archive(&[("rootfs", 0o755, None)])]);
    let image = caution_eif::read(std::fs::File::open(&eif).unwrap(), &caution_eif::Limits::default());
    assert_eq!(image.unwrap().measurements.pcr1, release.reference().pcr1);
    let reason = reason_of(&place, &config(&eif));
    assert!(reason.contains(&format!("the kernel was started with the command line `{rest}")), "{reason}");
    place.assert_clean();
}

#[test]
fn images_that_cannot_boot_are_refused_before_anything_starts() {
    let release = release();
    let place = Place::new();
    let mut bytes = std::fs::read(image(&release)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let broken = place.file("broken.eif");
    std::fs::write(&broken, &bytes).unwrap();
    let refusal = |config: &RunConfig| Running::start(&place.dirs, config).outcome().unwrap_err();
    assert!(matches!(refusal(&config(&broken)), HostError::Image { .. }));
    assert!(matches!(refusal(&config(&place.file("absent"))), HostError::File { .. }));
    let small = RunConfig { memory_mib: 36, ..config(image(&release)) };
    assert!(matches!(refusal(&small), HostError::EnclaveMemory { memory_mib: 36, .. }));
    let many = RunConfig { cpus: 65, ..config(image(&release)) };
    assert!(matches!(refusal(&many), HostError::Cpus(65)));
    let odd = RunConfig { name: "../x".to_owned(), ..config(image(&release)) };
    assert!(matches!(refusal(&odd), HostError::Name(_)));
    place.assert_clean();
}

#[test]
fn an_error_of_a_detached_run_reaches_its_starter() {
    let place = Place::new();
    let config = config(&place.file("absent"));
    let error = run_detached(&place.dirs, &config, Path::new(AGENT), &mut |_| {}).unwrap_err();
    assert!(matches!(&error, HostError::Told { .. }), "{error}");
    assert!(error.to_string().contains("absent"), "{error}");
    place.assert_clean();
}
