use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// A directory with a log in it, and a tail of it that can be killed and started again.
struct Bench {
    directory: TempDir,
    tail: Tail,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let tail = Self::tail(&directory, None, true);
        Self { directory, tail }
    }

    fn tail(directory: &TempDir, saved: Option<FilePosition>, from_start: bool) -> Tail {
        Tail::new(directory.path().join("log"), saved, from_start, 1 << 10, Duration::ZERO)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copytruncate(&self, to: &str) {
        fs::copy(self.path("log"), self.path(to)).unwrap();
        OpenOptions::new().write(true).open(self.path("log")).unwrap().set_len(0).unwrap();
    }

    /// Kills the tail and starts one from the position that was committed.
    fn restart(&mut self) {
        let saved = self.tail.position().map(|at| FilePosition::from_bytes(&at.to_bytes()).unwrap());
        self.tail = Self::tail(&self.directory, saved, true);
    }

    /// Reads until there is nothing more.
    fn read(&mut self) -> String {
        let mut all = Vec::new();
        let mut last = Look::Read;
        for _ in 0..50 {
            while let Some(line) = self.tail.next_line() {
                all.push(match line {
                    Line::Text { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
                    Line::TooLong { length, .. } => format!("too long {length}"),
                });
            }
            last = self.tail.look();
            if !matches!(last, Look::Read | Look::Leaving) {
                break;
            }
        }
        let changes = self.tail.take_changes().iter().map(|c| c.as_str()).collect::<Vec<_>>().join(",");
        let state = if matches!(last, Look::Unavailable(_)) { " unavailable" } else { "" };
        format!("{} [{changes}]{state}", all.join(" "))
    }

    fn check(&mut self, expected: Expect) {
        let read = self.read();
        expected.assert_eq(&read);
    }
}

#[test]
fn a_file_that_does_not_exist_yet_is_read_when_it_appears() {
    let mut bench = Bench::new();
    bench.check(expect![" [] unavailable"]);
    bench.append("log", "one\n");
    bench.check(expect!["one [appeared]"]);
    bench.append("log", "two\n");
    bench.check(expect!["two []"]);
}

#[test]
fn a_line_in_two_writes_is_read_once_and_whole() {
    let mut bench = Bench::new();
    bench.append("log", "one\ntw");
    bench.check(expect!["one [appeared]"]);
    bench.restart();
    bench.append("log", "o\n");
    bench.check(expect!["two []"]);
}

#[test]
fn rotation_by_rename_and_create_loses_nothing() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.check(expect!["one [appeared]"]);
    bench.append("log", "two\n");
    bench.rename("log", "log.1");
    bench.append("log.1", "three\n");
    bench.check(expect!["two three []"]);
    bench.append("log.1", "four, by a writer that has not noticed");
    bench.append("log", "five\n");
    bench.check(expect!["four, by a writer that has not noticed five [rotated]"]);
}

#[test]
fn rotation_while_nobody_reads_loses_nothing() {
    let mut bench = Bench::new();
    bench.append("log", "one\ntwo\n");
    bench.check(expect!["one two [appeared]"]);
    bench.append("log", "three\n");
    bench.rename("log", "log.1");
    bench.append("log", "four\n");
    bench.restart();
    bench.check(expect!["three four [rotated]"]);
}

#[test]
fn several_rotations_while_nobody_reads_lose_nothing() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.check(expect!["one [appeared]"]);
    bench.append("log", "two\n");
    bench.rename("log", "log.3");
    for (name, text) in [("log.2", "three\n"), ("log.1", "four\n"), ("log", "five\n")] {
        // Files that are made in the same tick of the file system's clock have no order.
        std::thread::sleep(Duration::from_millis(20));
        bench.append(name, text);
    }
    bench.append("log.bak", "not a rotated file\n");
    bench.restart();
    bench.check(expect!["two three four five [rotated,rotated,rotated]"]);
}

#[test]
fn copytruncate_loses_nothing() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.check(expect!["one [appeared]"]);
    bench.append("log", "two\n");
    bench.copytruncate("log.1");
    bench.append("log", "three\n");
    bench.check(expect!["two three [truncated,rotated]"]);
}

#[test]
fn copytruncate_while_nobody_reads_loses_nothing_even_when_the_file_outgrew_the_old_one() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.check(expect!["one [appeared]"]);
    bench.append("log", "two\n");
    bench.copytruncate("log.1");
    bench.append("log", "three, which is longer than what was there before\n");
    bench.restart();
    bench.check(expect!["two three, which is longer than what was there before [rotated]"]);
}

#[test]
fn truncation_without_a_copy_starts_again() {
    let mut bench = Bench::new();
    bench.append("log", "one\ntwo, unfin");
    bench.check(expect!["one [appeared]"]);
    fs::write(bench.path("log"), "three\n").unwrap();
    bench.check(expect!["three [truncated]"]);
    fs::write(bench.path("log"), "four, longer than three\n").unwrap();
    bench.check(expect!["four, longer than three [truncated]"]);
}

#[test]
fn a_writer_that_does_not_append_leaves_nuls_after_copytruncate() {
    let mut bench = Bench::new();
    let mut writer = File::create(bench.path("log")).unwrap();
    writer.write_all(&[b'x'; 999]).unwrap();
    writer.write_all(b"\n").unwrap();
    assert_eq!(bench.read().len(), 999 + " [appeared]".len());
    bench.copytruncate("log.1");
    writer.write_all(b"after\n").unwrap();
    bench.check(expect!["after [truncated,rotated]"]);
    bench.copytruncate("log.2");
    writer.write_all(b"again\n").unwrap();
    bench.restart();
    bench.check(expect!["again []"]);
}

#[test]
fn a_symbolic_link_is_followed_to_its_next_target() {
    let mut bench = Bench::new();
    bench.append("log-1", "one\n");
    std::os::unix::fs::symlink(bench.path("log-1"), bench.path("log")).unwrap();
    bench.check(expect!["one [appeared]"]);
    bench.append("log-1", "two\n");
    bench.append("log-2", "three\n");
    fs::remove_file(bench.path("log")).unwrap();
    std::os::unix::fs::symlink(bench.path("log-2"), bench.path("log")).unwrap();
    bench.restart();
    bench.check(expect!["two three [rotated]"]);
}

#[test]
fn a_file_of_the_stored_position_that_is_nowhere_is_told() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.check(expect!["one [appeared]"]);
    bench.append("other", "two\n");
    bench.rename("other", "log");
    bench.restart();
    bench.check(expect!["two [lost]"]);
}

#[test]
fn a_directory_at_the_path_is_told_and_not_read() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("log")).unwrap();
    bench.check(expect![" [] unavailable"]);
}

#[test]
fn a_file_without_permission_is_told_and_read_when_it_may_be() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    let path = bench.path("log");
    let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o000);
    if File::open(bench.path("log")).is_ok() {
        // Root may read everything; then there is no such file to test with.
        return;
    }
    assert_eq!(
        bench.tail.look(),
        Look::Unavailable(format!("{}: Permission denied (os error 13)", bench.path("log").display()))
    );
    allow(0o600);
    bench.check(expect!["one [appeared]"]);
}

#[test]
fn a_tail_from_the_end_starts_at_a_line() {
    let mut bench = Bench::new();
    bench.append("log", "one\ntwo\nthr");
    bench.tail = Bench::tail(&bench.directory, None, false);
    bench.append("log", "ee\nfour\n");
    bench.check(expect!["three four []"]);
}

#[test]
fn a_tail_from_the_end_reads_all_of_a_file_that_appears_later() {
    let mut bench = Bench::new();
    bench.tail = Bench::tail(&bench.directory, None, false);
    bench.append("log", "one\n");
    bench.check(expect!["one [appeared]"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_rotated_and_restarted_is_read_once(steps in prop::collection::vec((0..5u8, 1..40usize), 1..30)) {
        let mut bench = Bench::new();
        let (mut written, mut read) = (String::new(), String::new());
        let (mut lines, mut rotations) = (0, 0);
        let mut rest = String::new();
        for (step, size) in steps {
            match step {
                0 | 1 => {
                    rest += &format!("line-{lines}-{}\n", "x".repeat(size));
                    lines += 1;
                    let (now, later) = rest.split_at(rest.len() * usize::from(step + 1) / 2);
                    bench.append("log", now);
                    written += now;
                    rest = later.to_owned();
                }
                2 if bench.path("log").exists() => {
                    rotations += 1;
                    bench.append("log", &rest);
                    written += &std::mem::take(&mut rest);
                    // Read between rotations, so that their order does not hang on the clock's ticks.
                    read = read + " " + &bench.read();
                    bench.rename("log", &format!("log.{rotations}"));
                }
                3 => read = read + " " + &bench.read(),
                _ => bench.restart(),
            }
        }
        bench.append("log", &format!("{rest}end\n"));
        written += &format!("{rest}end\n");
        read = read + " " + &bench.read();
        let read: Vec<&str> = read.split_whitespace().filter(|word| !word.starts_with('[') && *word != "unavailable").collect();
        prop_assert_eq!(read, written.split_whitespace().collect::<Vec<_>>());
    }
}
