use super::*;
use crate::limits::LEFT_FILES_MAX;
use crate::privacy::Pseudonymizer;
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

    fn tail(directory: &TempDir, saved: Option<SourcePosition>, from_start: bool) -> Tail {
        let follow = Follow {
            path: directory.path().join("log"),
            rotated_dir: Some(directory.path().join("old")),
            from_start,
            line_bytes_max: 1 << 10,
            grace: Duration::ZERO,
        };
        Tail::new(follow, saved, PrintKey::new(&Pseudonymizer::new([7; 32], 0)), &[])
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
        let at = self.tail.position();
        let saved = SourcePosition::from_bytes(&at.reading_bytes(), &at.left_bytes()).unwrap();
        let is_new = saved.reading.is_none() && saved.left.is_empty();
        self.tail = Self::tail(&self.directory, (!is_new).then_some(saved), true);
    }

    /// Reads until there is nothing more.
    fn read(&mut self) -> String {
        let mut all = Vec::new();
        let mut last = Look::Read;
        for _ in 0..200 {
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
        let changes =
            self.tail.take_events().iter().map(|event| self.told(event)).collect::<Vec<_>>().join(",");
        let state = if matches!(last, Look::Unavailable(_)) { " unavailable" } else { "" };
        format!("{} [{changes}]{state}", all.join(" "))
    }

    fn told(&self, event: &SourceEvent) -> String {
        let name = |file: &Path| {
            let place = fs::canonicalize(self.directory.path()).unwrap();
            let file = file.strip_prefix(&place).or(file.strip_prefix(self.directory.path()));
            file.unwrap().display().to_string()
        };
        match event {
            SourceEvent::Changed { change, .. } => change.as_str().to_owned(),
            SourceEvent::Known { lines, .. } => format!("known {lines}"),
            SourceEvent::Lost { cause, file, from, to } => {
                let to = to.map_or_else(String::new, |to| to.to_string());
                format!("lost {} {from}..{to} {}", name(file), cause.as_str())
            }
        }
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
    bench.check(expect!["two three [truncated,lost log 8.. copy_and_truncate,rotated]"]);
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
    bench.check(expect![
        "two three, which is longer than what was there before [lost log 8.. copy_and_truncate,rotated]"
    ]);
}

#[test]
fn truncation_without_a_copy_starts_again() {
    let mut bench = Bench::new();
    bench.append("log", "one\ntwo, unfin");
    bench.check(expect!["one [appeared]"]);
    fs::write(bench.path("log"), "three\n").unwrap();
    bench.check(expect!["three [truncated,lost log 4.. truncated]"]);
    fs::write(bench.path("log"), "four, longer than three\n").unwrap();
    bench.check(expect!["four, longer than three [truncated,lost log 6.. truncated]"]);
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
    bench.check(expect!["after [truncated,lost log 1000.. copy_and_truncate,rotated]"]);
    bench.copytruncate("log.2");
    writer.write_all(b"again\n").unwrap();
    bench.restart();
    bench.check(expect!["again [lost log 1006.. copy_and_truncate,rotated]"]);
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
    bench.check(expect!["two [replaced,lost log 4.. gone]"]);
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

/// Rotates as often as there are names, one line each, and reads nothing.
fn rotate_unseen(bench: &Bench, names: &[&str]) {
    for name in names {
        bench.rename("log", name);
        // Files that are made in the same tick of the file system's clock have no order.
        std::thread::sleep(Duration::from_millis(15));
        bench.append("log", &format!("after-{name}\n"));
    }
}

#[test]
fn any_tools_names_are_found_however_often_the_log_was_rotated() {
    for names in [
        ["log.1", "log.2", "log.3"],
        ["log-20261121", "log-20261122", "log-20261123"],
        ["log-2026-11-21T06-30-06.320", "log-2026-11-21T06-30-06.720", "log.2026-11-22-1"],
        ["log.0", "2026-11-21-log", "log__2026-11-21_06-30-06"],
    ] {
        let mut bench = Bench::new();
        bench.append("log", "one\n");
        bench.read();
        bench.append("log", "two\n");
        rotate_unseen(&bench, &names);
        bench.restart();
        let read = bench.read();
        let expected =
            format!("two after-{} after-{} after-{} [rotated,rotated,rotated]", names[0], names[1], names[2]);
        assert_eq!(read, expected);
        // And once more, with the handle of the first still open.
        bench.append("log", "three\n");
        rotate_unseen(&bench, &["log.7", "log.8"]);
        assert_eq!(bench.read(), "three after-log.7 after-log.8 [rotated,rotated]");
    }
}

#[test]
fn more_rotated_files_than_are_remembered_are_each_read_once() {
    let mut bench = Bench::new();
    bench.append("log", "first\n");
    assert_eq!(bench.read(), "first [appeared]");
    // More than are remembered come while the log is followed, and as many while nobody reads.
    let number = LEFT_FILES_MAX + 8;
    for file in 1..=number {
        rotate_unseen(&bench, &[&format!("log.{file}")]);
        assert_eq!(bench.read(), format!("after-log.{file} [rotated]"));
    }
    bench.restart();
    assert_eq!(bench.read(), " []");
    let unseen: Vec<String> = (number + 1..=2 * number).map(|file| format!("log.{file}")).collect();
    rotate_unseen(&bench, &unseen.iter().map(String::as_str).collect::<Vec<_>>());
    bench.restart();
    let lines: Vec<String> = unseen.iter().map(|name| format!("after-{name}")).collect();
    assert_eq!(bench.read(), format!("{} [{}]", lines.join(" "), vec!["rotated"; number].join(",")));
    assert_eq!(bench.read(), " []");
}

#[test]
fn what_was_compressed_meanwhile_is_read_on_where_it_was_left() {
    for (suffix, is_gzip) in [(".gz", true), (".zst", false)] {
        let mut bench = Bench::new();
        let lines: String = (0..200).map(|index| format!("line-{index}\n")).collect();
        bench.append("log", &lines);
        bench.read();
        bench.append("log", "rest\n");
        rotate_unseen(&bench, &["log.2", "log.1"]);
        for name in ["log.2", "log.1"] {
            pack(&bench.path(name), &bench.path(&format!("{name}{suffix}")), is_gzip);
        }
        bench.restart();
        assert_eq!(bench.read(), "rest after-log.2 after-log.1 [rotated,rotated]");
        // What is compressed after it was read is nothing new.
        rotate_unseen(&bench, &["log.0"]);
        assert_eq!(bench.read(), "after-log.0 [rotated]");
        pack(&bench.path("log.0"), &bench.path(&format!("log.0{suffix}")), is_gzip);
        rotate_unseen(&bench, &["log.9"]);
        assert_eq!(bench.read(), "after-log.9 [rotated]");
        bench.restart();
        assert_eq!(bench.read(), " []");
    }
}

/// Compresses a file as the tools do: the time stays, the file goes.
fn pack(from: &Path, to: &Path, is_gzip: bool) {
    let content = fs::read(from).unwrap();
    let packed = if is_gzip {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&content).unwrap();
        encoder.finish().unwrap()
    } else {
        zstd::encode_all(&content[..], 1).unwrap()
    };
    fs::write(to, packed).unwrap();
    let modified = fs::metadata(from).unwrap().modified().unwrap();
    File::options().write(true).open(to).unwrap().set_modified(modified).unwrap();
    fs::remove_file(from).unwrap();
}

#[test]
fn a_head_that_all_files_have_in_common_does_not_confuse_them() {
    let head = format!("{}\n", "h".repeat(900));
    let mut bench = Bench::new();
    bench.append("log", &format!("{head}one\n"));
    bench.read();
    // Another file of the same head, longer than what was read, in place of the one that is gone.
    fs::remove_file(bench.path("log")).unwrap();
    bench.append("spare", "");
    bench.append("log", &format!("{head}other, and longer\n"));
    bench.restart();
    let read = bench.read();
    assert!(read.ends_with("other, and longer [replaced,lost log 905.. gone]"), "{read}");
    // The same while it is read: cut, and grown beyond what was read before it was looked at again.
    fs::write(bench.path("log"), format!("{head}third, and longer than the second was\n")).unwrap();
    let read = bench.read();
    assert!(
        read.ends_with("third, and longer than the second was [truncated,lost log 919.. truncated]"),
        "{read}"
    );
}

#[test]
fn a_copy_that_is_shorter_than_what_was_read_gives_nothing_twice() {
    let mut bench = Bench::new();
    bench.append("log", "a line of some length\nanother line of some length\n");
    bench.read();
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    bench.append("log", "written after the copy\n");
    bench.check(expect!["written after the copy []"]);
    fs::write(bench.path("log"), "").unwrap();
    bench.restart();
    bench.append("log", "after the cut\n");
    bench.check(expect!["after the cut [truncated,lost log 73.. truncated]"]);
}

#[test]
fn what_a_late_writer_adds_to_a_file_that_was_left_is_read() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.read();
    bench.rename("log", "log.1");
    bench.append("log", "two\n");
    bench.check(expect!["two [rotated]"]);
    bench.append("log.1", "late\n");
    bench.append("log", "three\n");
    bench.check(expect!["three late [rotated]"]);
    bench.append("log.1", "later\n");
    bench.restart();
    bench.append("log", "four\n");
    bench.check(expect!["later four [rotated]"]);
}

#[test]
fn older_files_are_not_wanted_where_nothing_was_read_before() {
    let mut bench = Bench::new();
    bench.append("log.2", "old\n");
    bench.append("log.1", "older\n");
    bench.append("log", "one\n");
    bench.tail = Bench::tail(&bench.directory, None, true);
    bench.check(expect!["one [appeared]"]);
    rotate_unseen(&bench, &["log.3"]);
    bench.check(expect!["after-log.3 [rotated]"]);
}

#[test]
fn a_link_that_was_moved_over_several_days_is_followed_through_all_of_them() {
    let mut bench = Bench::new();
    for day in ["2026-11-29", "2026-11-30", "2026-12-01"] {
        fs::create_dir(bench.path(day)).unwrap();
    }
    let link = |bench: &Bench, day: &str| {
        let _ = fs::remove_file(bench.path("log"));
        std::os::unix::fs::symlink(bench.path(&format!("{day}/api")), bench.path("log")).unwrap();
    };
    bench.append("2026-11-29/api", "one\n");
    link(&bench, "2026-11-29");
    bench.read();
    bench.append("2026-11-29/api", "two\n");
    for (day, line) in [("2026-11-30", "three\n"), ("2026-12-01", "four\n")] {
        std::thread::sleep(Duration::from_millis(15));
        bench.append(&format!("{day}/api"), line);
        link(&bench, day);
    }
    bench.restart();
    bench.check(expect!["two three four [rotated,rotated]"]);
}

#[test]
fn files_that_are_moved_to_another_directory_are_found_there() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("old")).unwrap();
    bench.append("log", "one\n");
    bench.read();
    bench.append("log", "two\n");
    rotate_unseen(&bench, &["old/log.2", "old/log.1"]);
    bench.restart();
    bench.check(expect!["two after-old/log.2 after-old/log.1 [rotated,rotated]"]);
}

#[test]
fn svlogds_and_multilogs_files_are_found() {
    let mut bench = Bench::new();
    let path = bench.path("current");
    bench.tail.follow.path = path;
    bench.append("current", "one\n");
    bench.read();
    bench.append("current", "two\n");
    for (name, line) in
        [("@4000000067a1b2c3001122ab.s", "three\n"), ("@4000000067a1b2c4001122ab.u", "four\n")]
    {
        bench.rename("current", name);
        std::thread::sleep(Duration::from_millis(15));
        bench.append("current", line);
    }
    bench.check(expect!["two three four [rotated,rotated]"]);
}

#[test]
fn a_file_that_cannot_be_unpacked_is_told_by_name() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.read();
    rotate_unseen(&bench, &["log.3", "log.2", "log.1"]);
    fs::rename(bench.path("log.2"), bench.path("log.2.xz")).unwrap();
    pack(&bench.path("log.1"), &bench.path("log.1.gz"), true);
    let whole = fs::read(bench.path("log.1.gz")).unwrap();
    fs::write(bench.path("log.1.gz"), &whole[..whole.len() - 9]).unwrap();
    bench.restart();
    let read = bench.read() + &bench.read() + &bench.read();
    assert!(read.contains("after-log.1"), "{read}");
    assert!(read.contains("lost log.2.xz 0.. unreadable"), "{read}");
    assert!(read.contains("lost log.1.gz") && read.contains(".. unreadable"), "{read}");
}

#[test]
fn a_new_file_with_the_number_of_one_that_was_compressed_was_not_cut() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.read();
    let mut saved = bench.tail.position();
    bench.append("log", "two\n");
    bench.rename("log", "log.1");
    pack(&bench.path("log.1"), &bench.path("log.1.gz"), true);
    std::thread::sleep(Duration::from_millis(15));
    bench.append("log", "three\n");
    saved.reading.as_mut().unwrap().id = FileId::of(&fs::metadata(bench.path("log")).unwrap());
    bench.tail = Bench::tail(&bench.directory, Some(saved), true);
    bench.check(expect!["two three [rotated]"]);
}

#[test]
fn a_compressed_file_that_is_read_on_is_no_copy_of_one_that_was_cut() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.read();
    bench.rename("log", "log.1");
    bench.append("log", "two\nthree\n");
    bench.rename("log", "log.2");
    bench.append("log", "four\n");
    // Its time stays, and tells that it is newer than the one that was read.
    pack(&bench.path("log.2"), &bench.path("log.2.gz"), true);
    bench.restart();
    while bench.tail.next_line().is_none_or(|line| !matches!(line, Line::Text { bytes: b"two", .. })) {
        bench.tail.look();
    }
    bench.tail.take_events();
    bench.restart();
    bench.check(expect!["three four [rotated]"]);
}

#[test]
fn a_file_that_was_empty_and_was_compressed_since_is_not_lost() {
    for (is_deleted, told) in
        [(false, expect!["two three [rotated]"]), (true, expect!["three [replaced,lost log 0.. gone]"])]
    {
        let mut bench = Bench::new();
        bench.append("log", "one\n");
        bench.read();
        bench.rename("log", "log.1");
        std::thread::sleep(Duration::from_millis(15));
        bench.append("log", "");
        bench.check(expect![" [rotated]"]);
        bench.append("log", "two\n");
        bench.rename("log", "log.2");
        bench.append("log", "three\n");
        match is_deleted {
            true => fs::remove_file(bench.path("log.2")).unwrap(),
            false => pack(&bench.path("log.2"), &bench.path("log.2.gz"), true),
        }
        bench.restart();
        bench.check(told);
    }
}

#[test]
fn a_file_that_was_empty_is_lost_where_what_was_read_before_it_is_gone_too() {
    let mut bench = Bench::new();
    bench.append("log", "one\n");
    bench.read();
    bench.rename("log", "log.1");
    std::thread::sleep(Duration::from_millis(15));
    bench.append("log", "");
    bench.read();
    bench.append("log", "two\n");
    bench.rename("log", "log.2");
    bench.append("log", "three\n");
    rotate_unseen(&bench, &["log.3"]);
    // Of so many files only the latest is kept.
    fs::remove_file(bench.path("log.1")).unwrap();
    fs::remove_file(bench.path("log.2")).unwrap();
    bench.restart();
    bench.check(expect!["three after-log.3 [replaced,lost log 0.. gone,rotated]"]);
}
