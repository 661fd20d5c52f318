//! Trains the table of `collector/src/features/embedding.rs` by random indexing, from prompts in parallel
//! translation:
//!
//! ```sh
//! cargo run --release -p weir-collector --example train-embedding -- PROMPTS.jsonl.gz collector/src/features/embedding.bin
//! ```
//!
//! A line of the prompts is a JSON object with `group`, which translations of one prompt share, `lang` and
//! `text`. Every prompt gets a vector of chance; a word's is the sum of those of the prompts in which it
//! occurs, whatever their language. A second round begins with what the first makes of each prompt, so that
//! prompts of one meaning draw together. The same prompts give the same table.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use weir_collector::features::embedding::{BUCKETS, DIMENSIONS, LENGTH, rows};

/// Languages that a prompt must be in to be learnt from.
const LANGUAGES_MIN: usize = 16;

type Vector = [f64; DIMENSIONS];

/// A prompt in all its languages: the rows of each text, each once.
type Prompt = Vec<Vec<usize>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [prompts, table] = arguments.as_slice() else {
        return Err("tell the prompts (JSON lines, gzip) and where the table goes".into());
    };
    let prompts = read(prompts)?;
    let mut seen = vec![0f64; BUCKETS];
    let texts = prompts.iter().map(Vec::len).sum::<usize>() as f64;
    prompts.iter().flatten().flatten().for_each(|row| seen[*row] += 1.0);
    let rarity: Vec<f64> = seen
        .iter()
        .map(|count| if *count < 2.0 { 0.0 } else { (1.0 + texts / (1.0 + count)).ln() })
        .collect();

    let mut state = 4;
    let chance: Vec<Vector> = prompts.iter().map(|_| std::array::from_fn(|_| sign(&mut state))).collect();
    let first = fold(&prompts, &chance, &seen);
    let mut drawn: Vec<Vector> = prompts.iter().map(|prompt| mean(prompt, &first, &rarity)).collect();
    centre(&mut drawn);
    let second = fold(&prompts, &drawn, &seen);

    let weighted: Vec<Vector> =
        second.iter().zip(&rarity).map(|(vector, rarity)| vector.map(|part| part * rarity)).collect();
    let mut sizes: Vec<f64> =
        weighted.iter().flatten().map(|part| part.abs()).filter(|part| *part > 0.0).collect();
    sizes.sort_by(f64::total_cmp);
    let most = sizes[sizes.len() * 999 / 1_000];
    let small = |part: f64| (part / most * 127.0).round().clamp(-127.0, 127.0) as i8;
    let rows: Vec<[i8; DIMENSIONS]> = weighted.iter().map(|vector| vector.map(small)).collect();

    let mut out = head(&prompts, &rows);
    out.extend(rows.iter().flatten().map(|weight| *weight as u8));
    std::fs::write(table, out)?;
    println!("{} prompts, {texts} texts, {BUCKETS} rows", prompts.len());
    Ok(())
}

fn read(path: &str) -> Result<Vec<Prompt>, Box<dyn Error>> {
    let mut groups: BTreeMap<String, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
    for line in BufReader::new(flate2::read::GzDecoder::new(std::fs::File::open(path)?)).lines() {
        let line: serde_json::Value = serde_json::from_str(&line?)?;
        let field = |name: &str| line.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let mut found = Vec::new();
        rows(field("text").to_lowercase().as_bytes(), |row| found.push(row));
        found.sort_unstable();
        found.dedup();
        groups.entry(field("group").to_owned()).or_default().insert(field("lang").to_owned(), found);
    }
    let whole = groups.into_values().filter(|languages| languages.len() >= LANGUAGES_MIN);
    Ok(whole.map(|languages| languages.into_values().collect()).collect())
}

/// 1 or -1.
fn sign(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    if (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 63 == 0 { 1.0 } else { -1.0 }
}

/// Each row's vector: the sum of those of the prompts in which it occurs, over the root of how often it does.
fn fold(prompts: &[Prompt], vectors: &[Vector], seen: &[f64]) -> Vec<Vector> {
    let mut rows = vec![[0.0; DIMENSIONS]; BUCKETS];
    for (prompt, vector) in prompts.iter().zip(vectors) {
        for row in prompt.iter().flatten() {
            rows[*row].iter_mut().zip(vector).for_each(|(sum, part)| *sum += part);
        }
    }
    rows.iter().zip(seen).map(|(row, count)| row.map(|part| part / count.max(1.0).sqrt())).collect()
}

/// A text's vector, of length one.
fn embed(text: &[usize], rows: &[Vector], weights: &[f64]) -> Vector {
    let mut sum = [0.0; DIMENSIONS];
    for row in text {
        sum.iter_mut().zip(&rows[*row]).for_each(|(sum, part)| *sum += part * weights[*row]);
    }
    unit(sum)
}

fn unit(vector: Vector) -> Vector {
    let length = vector.iter().map(|part| part * part).sum::<f64>().sqrt().max(1e-9);
    vector.map(|part| part / length)
}

fn mean(prompt: &Prompt, rows: &[Vector], rarity: &[f64]) -> Vector {
    let mut sum = [0.0; DIMENSIONS];
    for text in prompt {
        let vector = embed(text, rows, rarity);
        sum.iter_mut().zip(vector).for_each(|(sum, part)| *sum += part / prompt.len() as f64);
    }
    sum
}

fn centre(vectors: &mut [Vector]) {
    let count = vectors.len().max(1) as f64;
    let mut centre = [0.0; DIMENSIONS];
    for vector in &*vectors {
        centre.iter_mut().zip(vector).for_each(|(sum, part)| *sum += part / count);
    }
    for vector in vectors {
        *vector = unit(std::array::from_fn(|index| vector[index] - centre[index]));
    }
}

/// Mean and scale of each coordinate over all texts, as the collector reads them.
fn head(prompts: &[Prompt], rows: &[[i8; DIMENSIONS]]) -> Vec<u8> {
    let rows: Vec<Vector> = rows.iter().map(|row| row.map(f64::from)).collect();
    let same = vec![1.0; BUCKETS];
    let vectors: Vec<Vector> = prompts.iter().flatten().map(|text| embed(text, &rows, &same)).collect();
    let count = vectors.len().max(1) as f64;
    let of = |index: usize| {
        let mean = vectors.iter().map(|vector| vector[index]).sum::<f64>() / count;
        let squares = vectors.iter().map(|vector| (vector[index] - mean).powi(2)).sum::<f64>();
        (mean, (squares / count).sqrt())
    };
    let measured: Vec<(f64, f64)> = (0..DIMENSIONS).map(of).collect();
    let widest = measured.iter().map(|(_, spread)| *spread).fold(0.0, f64::max);
    let number = |part: f64| (part.round().clamp(-32_768.0, 32_767.0) as i16).to_le_bytes();
    measured
        .iter()
        .flat_map(|(mean, spread)| [number(mean * LENGTH as f64), number(widest / spread * 256.0)])
        .flatten()
        .collect()
}
