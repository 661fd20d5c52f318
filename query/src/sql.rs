//! What a query may say: one `SELECT` of tables that there are.

use crate::error::QueryError;
use crate::limits::{SQL_BYTES_MAX, SQL_TOKENS_MAX};
use datafusion::common::{Column, DataFusionError, SchemaError, TableReference};

use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as Ast};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The only statement of the text, if it is one that reads. `tables` are those that there are.
pub(crate) fn statement(sql: &str, tables: &[&str]) -> Result<Statement, QueryError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(QueryError::TooLong(sql.len()));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| QueryError::Syntax(error.to_string()))?;
    let count = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    if count > SQL_TOKENS_MAX {
        return Err(QueryError::TooManyTokens(count));
    }
    let mut statements = DFParser::parse_sql(sql).map_err(|error| QueryError::Syntax(told(&error)))?;
    let statement = statements.pop_front().ok_or_else(|| QueryError::Syntax("it is empty".into()))?;
    if !statements.is_empty() {
        return Err(QueryError::Refused { what: "more than one statement".into() });
    }
    match &statement {
        plain if is_query(plain) => {}
        Statement::Explain(explained) if is_query(&explained.statement) => {}
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            return Err(QueryError::Refused { what: words.join(" ") });
        }
    }
    let (asked, _) = resolve_table_references(&statement, true).map_err(|error| failed(&error, 0))?;
    let is_known = |name: &&TableReference| matches!(name, TableReference::Bare { table } if tables.contains(&table.as_ref()));
    match asked.iter().find(|name| !is_known(name)) {
        Some(name) => Err(QueryError::UnknownTable { name: name.to_string(), known: tables.join(", ") }),
        None => Ok(statement),
    }
}

fn is_query(statement: &Statement) -> bool {
    let Statement::Statement(ast) = statement else { return false };
    let Ast::Query(query) = ast.as_ref() else { return false };
    use SetExpr::{Query, Select, SetOperation, Values};
    matches!(query.body.as_ref(), Select(_) | Query(_) | SetOperation { .. } | Values(_))
}

/// What went wrong, for a person; `memory_bytes` is what the query may have.
pub(crate) fn failed(error: &DataFusionError, memory_bytes: usize) -> QueryError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            failed(inner, memory_bytes)
        }
        DataFusionError::Shared(inner) => failed(inner, memory_bytes),
        DataFusionError::Collection(all) if !all.is_empty() => failed(&all[0], memory_bytes),
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let is_of_one = valid_fields.windows(2).all(|pair| pair[0].relation == pair[1].relation);
                let name = |field: &Column| if is_of_one { field.name.clone() } else { field.flat_name() };
                let known: Vec<String> = valid_fields.iter().map(name).collect();
                QueryError::UnknownColumn { name: field.flat_name(), known: known.join(", ") }
            }
            other => QueryError::Engine(other.to_string()),
        },
        DataFusionError::ResourcesExhausted(reason) => {
            let reason = reason.lines().next().unwrap_or_default().to_owned();
            QueryError::Memory { megabytes: memory_bytes >> 20, reason }
        }
        DataFusionError::External(inner) => match inner.downcast_ref::<QueryError>() {
            Some(QueryError::Stopped) => QueryError::Stopped,
            Some(ours) => QueryError::Engine(ours.to_string()),
            None => QueryError::Engine(inner.to_string()),
        },
        other => QueryError::Engine(told(other)),
    }
}

/// What the engine says, without where it was said.
fn told(error: &DataFusionError) -> String {
    match error {
        DataFusionError::SQL(parser, _) => match parser.as_ref() {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply".into(),
        },
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => {
            text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default().to_owned()
        }
        other => other.strip_backtrace(),
    }
}
