use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn features(prompt: &str) -> PromptFeatures<'_> {
    Features::default().of_prompt(prompt, false, &Pseudonymizer::new([1; 32], 1))
}

fn check(prompt: &str, expected: Expect) {
    let f = features(prompt);
    let shown = (f.bytes, f.chars, f.words, f.entropy_millibits, f.phrases, f.phrase_hits, f.marks, f.text);
    expected.assert_eq(&format!("{shown:?}"));
}

#[test]
fn a_prompt_becomes_numbers() {
    check("Think STEP  by\nstep, and show your work.", expect!["(40, 40, 8, 4311, 3, 2, 0, None)"]);
    check("日本語の質問です", expect!["(24, 8, 1, 3000, 0, 0, 8, None)"]);
    check("", expect!["(0, 0, 0, 0, 0, 0, 0, None)"]);
}

#[test]
fn spacing_and_case_do_not_change_the_text_hash() {
    assert_eq!(features("Hello  World").text_hash, features(" hello\nworld ").text_hash);
    assert_eq!(features("hel\u{200b}lo world").text_hash, features("hello world").text_hash);
    assert_ne!(features("hello world").text_hash, features("hello worlds").text_hash);
}

#[test]
fn the_same_template_with_other_content_has_the_same_template_hash() {
    let (one, two) =
        ("Explain osmosis to a child in 3 steps", "Explain plate tectonics to a child in 5 steps");
    assert_eq!(features(one).template_hash, features(two).template_hash);
    assert_ne!(features(one).text_hash, features(two).text_hash);
    let (other, language) = ("erkläre die osmose", "erkläre die tektonik");
    assert_ne!(features(other).template_hash, features(language).template_hash);
}

#[test]
fn hashes_need_the_key() {
    let prompt = "hello world and what it may mean";
    let other = Features::default().of_prompt(prompt, false, &Pseudonymizer::new([2; 32], 1));
    let this = features(prompt);
    assert_ne!(this.text_hash, other.text_hash);
    assert_ne!(this.template_hash, other.template_hash);
    assert_ne!(this.head_hash, other.head_hash);
    assert_ne!(this.simhash, other.simhash);
}

#[test]
fn only_where_a_prompt_begins_by_asking_for_a_translation_has_it_no_head_hash() {
    let has_head = |prompt: &str| features(prompt).head_hash != ValueHash::default();
    assert!(!has_head("Translate into Danish: the harbour is closed today."));
    assert!(!has_head("Could you please be so kind, and how would you say this in Welsh?"));
    let far = "Explain in full and step by step why the harbour is closed today, then translate your answer.";
    assert!(has_head(far) && features(far).phrases & phrases::TRANSLATION != 0);
}

#[test]
fn the_head_is_as_many_characters_in_any_script() {
    let head = |end: &str| features(&format!("{}{end}", "\u{44f}".repeat(31))).head_hash;
    assert_ne!(head("а, дальше"), head("б, дальше"));
    assert_eq!(head("а, дальше"), head("а, потом"));
}

#[test]
fn a_long_prompt_is_cut_and_says_so() {
    let prompt = format!("step by step {} show your work", "word ".repeat(40_000));
    let f = features(&prompt);
    assert_eq!((f.bytes as usize, f.words, f.marks), (prompt.len(), 40_006, marks::CUT));
    assert_eq!(f.phrases, 3, "both the head and the tail are looked at");
    let umlauts = "ä".repeat(PROMPT_BYTES_MAX);
    assert_eq!(features(&umlauts).chars as usize, PROMPT_BYTES_MAX);
}

#[test]
fn text_is_kept_only_when_it_is_wanted() {
    let keys = Pseudonymizer::new([1; 32], 1);
    let mut features = Features::default();
    assert_eq!(features.of_prompt("hello", false, &keys).text, None);
    assert_eq!(features.of_prompt("hello", true, &keys).text, Some("hello"));
    let long = "ä".repeat(KEPT_TEXT_BYTES_MAX);
    assert_eq!(features.of_prompt(&long, true, &keys).text.unwrap().len(), KEPT_TEXT_BYTES_MAX);
}

#[test]
fn a_buffer_that_was_used_leaves_nothing_behind() {
    let keys = Pseudonymizer::new([1; 32], 1);
    let mut used = Features::default();
    used.of_prompt("日本語 \u{202e} step by step `quoted", true, &keys);
    assert_eq!(used.of_prompt("plain words", false, &keys), features("plain words"));
}

proptest! {
    #[test]
    fn any_text_has_features(prompt in "(\\PC|[\\x00-\\x20\u{200b}-\u{200f}\u{fe0f}]){0,200}") {
        let f = features(&prompt);
        prop_assert_eq!(f.chars as usize, prompt.chars().count());
        prop_assert!(f.entropy_millibits >= 0 && f.entropy_millibits <= 21_000);
    }
}
