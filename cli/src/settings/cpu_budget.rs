//! A budget of processor time, as it is written: `2%`.

use super::declare::Value;
use serde::Deserialize;

/// Millionths of a processor in a hundredth of it.
const PPM_OF_PERCENT: f64 = 10_000.0;

/// Hundredths of one processor that may be said: from what can be measured to more processors than there are.
const PERCENT: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;

/// A budget of processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CpuBudget {
    /// In millionths of one processor.
    pub ppm: u64,
}

impl Value for CpuBudget {
    const KIND: &'static str = "percentage such as 2%";
}

impl TryFrom<String> for CpuBudget {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number = text.strip_suffix('%').map(str::trim_end).filter(|number| is_decimal(number));
        let percent = number.and_then(|number| number.parse::<f64>().ok());
        let percent = percent.filter(|percent| PERCENT.contains(percent));
        let percent = percent.ok_or("it is hundredths of one processor, such as 2%")?;
        Ok(Self { ppm: (percent * PPM_OF_PERCENT).round() as u64 })
    }
}

/// Digits and at most one point: neither signs nor exponents nor words.
fn is_decimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_people_write_it_and_nothing_else_is() {
        let ppm = |text: &str| CpuBudget::try_from(text.to_owned()).map(|budget| budget.ppm).ok();
        let read = [
            ("2%", 20_000),
            ("0.01%", 100),
            ("0.5 %", 5_000),
            ("150%", 1_500_000),
            ("100000%", 1_000_000_000),
        ];
        for (text, expected) in read {
            assert_eq!(ppm(text), Some(expected), "{text}");
        }
        for text in [
            "", "%", "2", "0%", "0.001%", "-1%", "+1%", "1e3%", "NaN%", "inf%", "1.2.3%", "2%%", "100001%",
            "two%",
        ] {
            assert_eq!(ppm(text), None, "{text}");
        }
    }
}
