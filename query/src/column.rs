//! A table as it is declared: one line a column, with its name, its type, what it says and where it is found.
//!
//! Everything else is made from these lines: the types that SQL sees, the rows, and the page that lists them.

use crate::fill::{Fill, Rows};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::borrow::Cow;
use std::sync::Arc;
use weir_schemas::wire::{Wire, WireError};
use weir_topology::record::RecordRef;
use weir_topology::topic::Topic;

/// One kind of row: what of a topic's record a row is, and its columns.
pub(crate) trait Kind: Send + Sync + 'static {
    /// What a row is.
    type Row<'a>;
    /// Name of the table.
    const NAME: &'static str;
    /// What a row stands for.
    const DOC: &'static str;
    /// Where the rows come from.
    const TOPIC: Topic;
    /// The columns, in their order.
    fn columns() -> Vec<Column<Self>>
    where
        Self: Sized;
    /// Hands on every row of a record.
    fn each(
        wire: &Wire,
        record: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Self::Row<'_>),
    ) -> Result<(), WireError>;
}

/// A column.
pub(crate) struct Column<K: Kind> {
    pub name: &'static str,
    pub doc: &'static str,
    pub cell: Cell<K>,
}

/// What is in a column, and where it is found in a row; none where the row has nothing to say.
pub(crate) enum Cell<K: Kind> {
    Text(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<Cow<'r, str>>),
    Texts(for<'r, 'a> fn(&'r K::Row<'a>) -> Vec<Cow<'r, str>>),
    Time(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<i64>),
    Int(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<i64>),
    Real(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<f64>),
    Flag(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<bool>),
}

impl<K: Kind> Column<K> {
    /// A column.
    pub(crate) const fn new(name: &'static str, cell: Cell<K>, doc: &'static str) -> Self {
        Self { name, doc, cell }
    }
}

impl<K: Kind> Cell<K> {
    fn data_type(&self) -> DataType {
        match self {
            Self::Text(_) => DataType::Utf8,
            Self::Texts(_) => DataType::new_list(DataType::Utf8, true),
            Self::Time(_) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Int(_) => DataType::Int64,
            Self::Real(_) => DataType::Float64,
            Self::Flag(_) => DataType::Boolean,
        }
    }
}

/// Where in the log a row stands, which every table has.
pub(crate) const PLACE: [(&str, &str); 2] = [
    ("log_partition", "Partition of the topic that the row's record stands in."),
    ("log_offset", "Offset of the record in that partition."),
];

/// A table, whatever its rows are.
pub(crate) trait Table: Send + Sync {
    /// Name.
    fn name(&self) -> &'static str;
    /// What a row stands for.
    fn doc(&self) -> &'static str;
    /// Where the rows come from.
    fn topic(&self) -> Topic;
    /// Names, types and what they say.
    fn columns(&self) -> Vec<Described>;
    /// Makes rows of records, with some of the columns.
    fn fill(&self, wanted: &[usize]) -> Box<dyn Fill>;

    /// Its columns as SQL sees them.
    fn schema(&self) -> SchemaRef {
        let fields = self.columns().into_iter().map(|column| Field::new(column.name, column.data_type, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// A column, as it is listed.
pub(crate) struct Described {
    pub name: &'static str,
    pub data_type: DataType,
    pub doc: &'static str,
}

/// The table of one kind of row.
pub(crate) struct TableOf<K>(std::marker::PhantomData<fn() -> K>);

impl<K: Kind> TableOf<K> {
    /// The table.
    pub(crate) fn boxed() -> Arc<dyn Table> {
        Arc::new(Self(std::marker::PhantomData))
    }
}

impl<K: Kind> Table for TableOf<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn doc(&self) -> &'static str {
        K::DOC
    }

    fn topic(&self) -> Topic {
        K::TOPIC
    }

    fn columns(&self) -> Vec<Described> {
        let own = K::columns().into_iter().map(|column| Described {
            name: column.name,
            data_type: column.cell.data_type(),
            doc: column.doc,
        });
        let place = PLACE.map(|(name, doc)| Described { name, data_type: DataType::Int64, doc });
        own.chain(place).collect()
    }

    fn fill(&self, wanted: &[usize]) -> Box<dyn Fill> {
        Box::new(Rows::<K>::new(wanted))
    }
}
