//! A format as it is carried out: its fields with the slots of the tree.

use super::error::{FieldError, FormatError};
use super::found::{Bits, Found};
use super::pointer::{Step, steps_of};
use super::spec::{Detailed, Moment, SetBy, Spec, Unit};
use super::template::Template;
use super::time::zone_of;
use super::tree::Tree;
use crate::field::Field;
use crate::json::Value;
use crate::read::{self, Got};
use std::collections::BTreeMap;
use time::UtcOffset;

/// A format, ready to read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The format's name.
    pub(crate) name: String,
    /// What writes it.
    pub(crate) title: String,
    /// What to do where the account is missing.
    pub(crate) without_account: String,
    /// Where each field stands, but for those below.
    pub(crate) reads: Vec<(Field, Vec<Origin>)>,
    /// Where the account stands.
    pub(crate) account: Vec<Origin>,
    /// Where the time stands.
    pub(crate) time: Vec<Origin>,
    /// Where bodies and parts of them stand.
    pub(crate) parts: Vec<(Field, Vec<Origin>)>,
    /// Groups of slots of which each record has one.
    shape: Vec<Vec<u16>>,
    /// Slots that it reads, or leaves unread on purpose.
    pub(crate) reach: Bits,
    /// Lists of records inside of a record.
    pub(crate) records: Vec<Unfold>,
    /// Where a record says what it is, and what it says where it is a request.
    only: Option<(u16, Vec<String>)>,
    /// Lines that are no JSON.
    pub(crate) templates: Vec<Template>,
}

/// Where a value comes from, and how it is to be taken.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The slot, or a value that is the same in every record.
    pub(crate) place: Place,
    /// Unit of a number.
    pub(crate) unit: Option<Unit>,
    /// Which moment a time is.
    pub(crate) moment: Moment,
    /// Zone of a time without one.
    pub(crate) zone: UtcOffset,
    /// What values mean.
    pub(crate) means: BTreeMap<String, String>,
    /// Values that say nothing.
    pub(crate) nothing: Vec<String>,
    /// Behind the last of which the value begins.
    pub(crate) after: Option<String>,
    /// Who wrote it.
    pub(crate) set_by: SetBy,
    /// For messages by number: the slot of their roles.
    pub(crate) roles: Option<u16>,
    /// A text there is JSON that holds words.
    pub(crate) is_json: bool,
}

/// Where a value stands.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In the record.
    Slot(u16),
    /// In the format file.
    Value(String),
}

/// A list of records inside of a record: the slot of its first step, and the steps from there.
#[derive(Debug, Clone)]
pub(crate) struct Unfold {
    pub(crate) slot: u16,
    pub(crate) steps: Vec<Step>,
    /// It holds others too, which are of no format and tell of no request.
    pub(crate) is_mixed: bool,
}

impl Unfold {
    /// The list at a path that begins with a key.
    pub(crate) fn new(path: &str, tree: &mut Tree) -> Result<Self, FieldError> {
        let mut steps = steps_of(path)?;
        let first = match steps.remove(0) {
            Step::Key(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            _ => return Err(FieldError::Option("records")),
        };
        Ok(Self { slot: tree.slot(&first)?, steps, is_mixed: false })
    }
}

impl Plan {
    /// Compiles a format; its places go into `tree`.
    pub(crate) fn new(spec: &Spec, tree: &mut Tree) -> Result<Self, FormatError> {
        let fault = |reason| FormatError::Format { format: spec.name.clone(), reason };
        let mut plan = Self {
            name: spec.name.clone(),
            title: spec.title.clone(),
            without_account: spec.without_account.clone(),
            reads: Vec::new(),
            account: Vec::new(),
            time: Vec::new(),
            parts: Vec::new(),
            shape: Vec::new(),
            reach: Bits::default(),
            records: Vec::new(),
            only: None,
            templates: Vec::new(),
        };
        for (name, sources) in &spec.fields {
            let fault =
                |reason| FormatError::Field { format: spec.name.clone(), field: name.clone(), reason };
            let field = Field::named(name).filter(|field| *field != Field::Rest).ok_or(FieldError::Unknown);
            let field = field.map_err(fault)?;
            let origins: Result<Vec<Origin>, FieldError> =
                sources.all().iter().map(|source| origin(field, &source.detailed(), tree)).collect();
            let origins = origins.map_err(fault)?;
            match field {
                Field::Account => plan.account = origins,
                Field::Time => plan.time = origins,
                Field::Body | Field::Messages | Field::Parameters | Field::Response => {
                    plan.parts.push((field, origins));
                }
                _ => plan.reads.push((field, origins)),
            }
        }
        for (field, origins) in [(Field::Account, &plan.account), (Field::Time, &plan.time)] {
            if origins.is_empty() && spec.without_account.is_empty() {
                return Err(fault(FieldError::Missing(field)));
            }
        }
        let slot = |path: &str, tree: &mut Tree| tree.slot(path).map_err(|error| fault(error.into()));
        for places in &spec.shape {
            plan.shape.push(places.all().iter().map(|path| slot(path, tree)).collect::<Result<_, _>>()?);
        }
        for path in spec.ignored.keys() {
            slot(path, tree)?;
        }
        if let Some(only) = &spec.only {
            plan.only = Some((slot(&only.at, tree)?, only.is.clone()));
        }
        for path in &spec.records {
            let unfold = Unfold::new(path, tree).map_err(fault)?;
            plan.records.push(Unfold { is_mixed: spec.is_mixed, ..unfold });
        }
        for pattern in &spec.lines {
            plan.templates.push(Template::new(pattern, tree).map_err(fault)?);
        }
        if tree.slots() > usize::from(u16::MAX) / 2 {
            return Err(fault(FieldError::TooMany));
        }
        Ok(plan)
    }

    /// Says which slots it reads, when all slots are known.
    pub(crate) fn finish(&mut self, spec: &Spec, tree: &mut Tree) {
        self.reach = Bits::none(tree.slots());
        let read: Vec<u16> = self.read_slots().collect();
        read.into_iter().for_each(|slot| self.reach.set(slot, true));
        let shape = self.shape.iter().flatten().chain(self.records.iter().map(|unfold| &unfold.slot));
        shape.chain(self.only.iter().map(|(slot, _)| slot)).for_each(|slot| self.reach.set(*slot, true));
        for path in spec.ignored.keys() {
            if let Ok(slot) = tree.slot(path) {
                self.reach.set(slot, true);
            }
        }
        // What is around a place that is read is looked into, and what is inside of it is taken with it.
        let is_around = |outer: &str, inner: &str| {
            let outer = outer.strip_prefix('/').unwrap_or(outer);
            let inner = inner.strip_prefix('/').unwrap_or(inner);
            inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        };
        let slots = 0..tree.slots() as u16;
        let reached: Vec<u16> = slots.clone().filter(|slot| self.reach.has(*slot)).collect();
        for slot in slots {
            let path = tree.path(slot);
            let is_reached = |other: &u16| {
                let other = tree.path(*other);
                is_around(path, other) || is_around(other, path)
            };
            if reached.iter().any(is_reached) {
                self.reach.set(slot, true);
            }
        }
    }

    /// The slots from which it reads fields.
    pub(crate) fn read_slots(&self) -> impl Iterator<Item = u16> + '_ {
        let parts = self.reads.iter().chain(&self.parts).flat_map(|(_, origins)| origins);
        parts.chain(&self.account).chain(&self.time).flat_map(|origin| {
            let slot = match origin.place {
                Place::Slot(slot) => Some(slot),
                Place::Value(_) => None,
            };
            slot.into_iter().chain(origin.roles)
        })
    }

    /// Which of its reads have a place that is there: all others read nothing.
    pub(crate) fn reads_there(&self, found: &Found) -> Vec<usize> {
        let is_there = |origin: &Origin| match origin.place {
            Place::Slot(slot) => found.present().has(slot),
            Place::Value(_) => true,
        };
        let reads = self.reads.iter().enumerate();
        reads.filter(|(_, (_, origins))| origins.iter().any(is_there)).map(|(index, _)| index).collect()
    }

    /// Whether a record is of another kind than requests. One that names a model is a request, whatever it is
    /// called.
    pub(crate) fn is_other(&self, record: &[u8], found: &Found) -> bool {
        let Some((slot, requests)) = &self.only else { return false };
        let kind = match found.value(record, *slot) {
            // As spreadsheets write numbers.
            Value::Number(number) => number.as_f64().to_string(),
            other => match read::id(other) {
                Got::Known(kind) => kind.strip_suffix(".0").unwrap_or(&kind).to_owned(),
                Got::Absent | Got::Bad => return false,
            },
        };
        !requests.iter().any(|request| request.eq_ignore_ascii_case(&kind)) && !self.names_model(found)
    }

    fn names_model(&self, found: &Found) -> bool {
        let of_model = |field: &Field| matches!(field, Field::Model | Field::ResponseModel);
        let mut places =
            self.reads.iter().filter(|(field, _)| of_model(field)).flat_map(|(_, origins)| origins);
        places.any(|origin| origin.is_filled(found))
    }

    /// Whether a record has what all records of this format have.
    pub(crate) fn fits(&self, found: &Found) -> bool {
        // Lines that are no JSON have patterns in the place of a shape.
        !self.shape.is_empty()
            && self.shape.iter().all(|group| group.iter().any(|slot| found.present().has(*slot)))
    }

    /// How many of its groups of places a record has.
    pub(crate) fn fitting(&self, found: &Found) -> usize {
        self.shape.iter().filter(|group| group.iter().any(|slot| found.present().has(*slot))).count()
    }

    /// Which of account and time a record lacks.
    pub(crate) fn lacking(&self, found: &Found) -> Vec<Field> {
        let lacks = |origins: &[Origin]| !origins.iter().any(|origin| origin.is_filled(found));
        let both = [(Field::Account, &self.account), (Field::Time, &self.time)];
        both.into_iter().filter(|(_, origins)| lacks(origins)).map(|(field, _)| field).collect()
    }

    /// Whether the words are what the writer puts in the place of words that it keeps to itself.
    pub(crate) fn says_nothing(&self, words: &str) -> bool {
        let origins = self.parts.iter().flat_map(|(_, origins)| origins);
        origins.flat_map(|origin| &origin.nothing).any(|nothing| nothing == words)
    }

    /// How many groups of places every record of this format has.
    pub(crate) fn shape_len(&self) -> usize {
        self.shape.len()
    }

    /// How much of what a format wants a record has: an account and a time, text, a model, and the number of
    /// fields.
    pub(crate) fn yields(&self, found: &Found) -> Yield {
        let any = |origins: &[Origin]| origins.iter().any(|origin| origin.is_filled(found));
        let of_text = |field: &Field| {
            matches!(field, Field::Prompt | Field::SystemPrompt | Field::Body | Field::Messages)
        };
        let fields = || self.reads.iter().chain(&self.parts).filter(|(_, origins)| any(origins));
        Yield {
            is_readable: any(&self.account) && any(&self.time),
            has_account: any(&self.account),
            has_text: fields().any(|(field, _)| of_text(field)),
            has_model: fields().any(|(field, _)| *field == Field::Model),
            fields: fields().count(),
        }
    }
}

/// What a record gives to a format; the greater, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Yield {
    pub(crate) is_readable: bool,
    has_account: bool,
    has_text: bool,
    has_model: bool,
    fields: usize,
}

impl Origin {
    /// Whether what stands there counts as it stands.
    pub(crate) fn is_plain(&self) -> bool {
        self.means.is_empty() && self.nothing.is_empty() && self.after.is_none()
    }

    fn is_filled(&self, found: &Found) -> bool {
        match &self.place {
            Place::Slot(slot) => found.filled().has(*slot),
            Place::Value(_) => true,
        }
    }
}

fn origin(field: Field, source: &Detailed, tree: &mut Tree) -> Result<Origin, FieldError> {
    let is_time = matches!(field, Field::Time | Field::EndTime);
    let place = match (&source.at, &source.value) {
        (Some(path), None) => Place::Slot(tree.slot(path)?),
        (None, Some(value)) => Place::Value(value.clone()),
        _ => return Err(FieldError::Nowhere),
    };
    if source.unit.is_some() && !is_time && field != Field::Latency {
        return Err(FieldError::Option("unit"));
    }
    if source.moment.is_some() && field != Field::Time {
        return Err(FieldError::Option("moment"));
    }
    if source.zone.is_some() && !is_time {
        return Err(FieldError::Option("zone"));
    }
    if source.roles.is_some() && field != Field::Messages {
        return Err(FieldError::Option("roles"));
    }
    if source.json && !matches!(field, Field::Prompt | Field::SystemPrompt) {
        return Err(FieldError::Option("json"));
    }
    let set_by = source.set_by.unwrap_or_else(|| SetBy::default_of(field));
    if set_by == SetBy::Client && !SetBy::may_claim(field) {
        return Err(FieldError::Claim);
    }
    let zone = match &source.zone {
        Some(zone) => zone_of(zone, UtcOffset::UTC).ok_or(FieldError::Zone)?,
        None => UtcOffset::UTC,
    };
    Ok(Origin {
        place,
        unit: source.unit,
        moment: source.moment.unwrap_or_default(),
        zone,
        means: source.means.clone(),
        nothing: source.nothing.clone(),
        after: source.after.clone().filter(|after| !after.is_empty()),
        set_by,
        is_json: source.json,
        roles: source.roles.as_deref().map(|path| tree.slot(path)).transpose()?,
    })
}
