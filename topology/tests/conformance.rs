//! What every log promises, as one list of cases over every backend.
//!
//! A case sees a log through [`weir_topology::log`] alone, so it asserts nothing that one backend does
//! not do: offsets may have gaps, and a compacted topic may or may not have been compacted yet.

#![allow(clippy::unwrap_used, reason = "a test says by a panic what went wrong")]

#[path = "conformance/backend.rs"]
mod backend;
#[cfg(feature = "kafka")]
#[path = "kafka/support.rs"]
mod broker;
#[path = "conformance/cases.rs"]
mod cases;
#[cfg(feature = "embedded")]
#[path = "conformance/crash.rs"]
mod crash;

/// One test for each case and backend.
macro_rules! conformance {
    ($($case:ident)*) => {
        mod memory {
            $(#[test] fn $case() { crate::cases::$case(crate::backend::memory()); })*
        }
        #[cfg(feature = "embedded")]
        mod embedded {
            $(#[test] fn $case() { crate::cases::$case(crate::backend::embedded()); })*
        }
        #[cfg(feature = "kafka")]
        mod kafka {
            $(#[test] fn $case() {
                if let Some(kafka) = crate::backend::kafka() { crate::cases::$case(kafka); }
            })*
        }
    };
}

conformance! {
    records_come_back_as_they_were_written
    a_topic_that_was_never_written_is_empty
    records_of_a_partition_keep_their_order
    a_record_of_900_kb_comes_back
    a_record_over_the_limit_is_refused_with_its_whole_commit
    a_partition_that_does_not_exist_is_refused
    the_number_of_partitions_is_the_topologys
    a_key_lives_where_every_kafka_tool_says
    a_commit_is_seen_in_every_topic_and_partition_at_once
    an_empty_commit_changes_nothing
    a_writer_that_is_dropped_leaves_nothing
    a_second_writer_of_a_name_fences_the_first
    writers_of_different_names_do_not_fence_each_other
    writers_at_the_same_time_are_each_atomic_and_in_order
    a_reader_starts_in_the_middle
    a_take_stops_at_its_limits
    a_take_of_nothing_reads_nothing
    a_take_gives_at_least_one_record_whatever_its_size
    a_range_is_read_to_its_end
    bounds_enclose_what_there_is
    a_compacted_topic_keeps_the_latest_of_each_key_in_order
    a_tombstone_is_the_last_word_on_its_key
    a_reader_waits_for_what_comes
    a_reader_does_not_wait_for_ever
    a_reader_of_several_inputs_wakes_for_any
    readers_do_not_disturb_each_other
    positions_are_committed_with_the_records
    the_positions_of_a_refused_commit_do_not_move
}
