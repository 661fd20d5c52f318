//! Decoding and encoding one event, beside apache-avro's `Value`, on the same bytes.

use super::meter::{Taken, line, ratio, thread_ns};
use super::tail;
use anyhow::{Context, Result, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;
use weir_schemas::{Event, Record};

/// Events that are taken in a circle: more than fit the fastest cache.
const EVENTS: u64 = 2_000;
const ROUNDS: u64 = 400;
/// The reference library is slower by an order.
const REFERENCE_ROUNDS: u64 = 40;

pub fn run() -> Result<()> {
    let datums = tail::datums(EVENTS)?;
    let bytes: usize = datums.iter().map(Vec::len).sum();
    let schema = Schema::parse_str(Event::SCHEMA)?;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let writer = GenericDatumWriter::builder(&schema).build()?;
    let event_bytes = bytes as u64 / EVENTS;

    let decode = measured(ROUNDS, || {
        for datum in &datums {
            black_box(Event::decode(datum)?);
        }
        Ok(())
    })?;
    let reference = measured(REFERENCE_ROUNDS, || {
        for datum in &datums {
            black_box(reader.read_value(&mut &datum[..])?);
        }
        Ok(())
    })?;
    tell("decode", decode, reference, event_bytes);

    let events: Vec<Event<'_>> = datums.iter().map(|datum| Event::decode(datum)).collect::<Result<_, _>>()?;
    let values: Vec<_> =
        datums.iter().map(|datum| reader.read_value(&mut &datum[..])).collect::<Result<_, _>>()?;
    let mut out = Vec::with_capacity(bytes);
    let encode = measured(ROUNDS, || {
        out.clear();
        events.iter().for_each(|event| event.encode(&mut out));
        black_box(&out);
        Ok(())
    })?;
    ensure!(out == datums.concat(), "what was encoded is not what was decoded");
    // From values that are made already: a program that has structs makes them first.
    let mut reference_out = Vec::with_capacity(bytes);
    let reference = measured(REFERENCE_ROUNDS, || {
        reference_out.clear();
        for value in &values {
            writer.write_value_ref(&mut reference_out, value)?;
        }
        black_box(&reference_out);
        Ok(())
    })?;
    ensure!(reference_out == out, "the reference library encodes otherwise");
    tell("encode", encode, reference, event_bytes);
    Ok(())
}

/// Time of one pass over the events, on average, after a first that warms up.
fn measured(rounds: u64, mut pass: impl FnMut() -> Result<()>) -> Result<Taken> {
    pass().context("the first pass")?;
    let (started, cpu_ns) = (Instant::now(), thread_ns());
    for _ in 0..rounds {
        pass()?;
    }
    let cpu_s = (thread_ns() - cpu_ns) as f64 / 1e9;
    Ok(Taken { cpu_s: cpu_s / rounds as f64, wall_s: started.elapsed().as_secs_f64() / rounds as f64 })
}

fn tell(name: &str, ours: Taken, reference: Taken, event_bytes: u64) {
    let more = json!({
        "event_bytes": event_bytes,
        "apache_avro_value_ns_each": reference.ns_each(EVENTS),
        "times_faster": ratio(reference.cpu_s, ours.cpu_s),
    });
    line(name, EVENTS, ours, more);
}
