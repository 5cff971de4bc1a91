//! A server that tells with which plan it ran each of the application's statements.

use std::fs::File;
use std::future::Future;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::time::{Duration, Instant};

use ironclaw_core::id::OperatorName;
use ironclaw_store::{PostgresMaintenance, PostgresStore, PostgresStoreBuilder};
use ironclaw_testing::{Server, need};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

const DATABASE: &str = "postgres";
const PASSWORD: &str = "only for tests";

/// The roles that the application and an operator log in with.
const APPLICATION: &str = "watched_app";
const OPERATOR: &str = "watched_operator";

/// The log of plans, one JSON document a line. Numbers only: parameters may be large.
const OPTIONS: [(&str, &str); 11] = [
    ("shared_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_format", "json"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_parameter_max_length", "0"),
    ("logging_collector", "on"),
    ("log_destination", "jsonlog"),
    ("log_directory", "log"),
    ("log_filename", "plans"),
    ("log_rotation_age", "0"),
];

/// A server of a test's own with the store's schema.
pub(crate) struct Watched {
    server: Server,
    /// How far its log was read.
    read: u64,
}

/// A statement that the application or an operator ran.
pub(crate) struct Statement {
    /// Its text.
    pub(crate) text: String,
    /// How it was run.
    plan: Value,
}

impl Watched {
    /// Starts one, and makes its schema and roles.
    pub(crate) async fn start() -> Self {
        let server = need(Server::start(&OPTIONS));
        let watched = Self { server, read: 0 };
        PostgresStore::migrate(&watched.server.superuser_url(DATABASE)).await.unwrap();
        watched
            .execute(&format!(
                "CREATE ROLE {APPLICATION} LOGIN PASSWORD '{PASSWORD}' IN ROLE ironclaw_app; \
                 CREATE ROLE {OPERATOR} LOGIN PASSWORD '{PASSWORD}' IN ROLE ironclaw_owner"
            ))
            .await;
        watched
    }

    /// The application's store.
    pub(crate) async fn store(&self, builder: PostgresStoreBuilder) -> PostgresStore {
        builder.connect(&self.server.url(APPLICATION, PASSWORD, DATABASE)).await.unwrap()
    }

    /// The operator's side.
    pub(crate) async fn maintenance(&self) -> PostgresMaintenance {
        let url = self.server.url(OPERATOR, PASSWORD, DATABASE);
        PostgresMaintenance::connect(&url, OperatorName::parse("root").unwrap()).await.unwrap()
    }

    /// A connection as a superuser.
    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.server.superuser_url(DATABASE)).await.unwrap()
    }

    /// Runs SQL as a superuser.
    pub(crate) async fn execute(&self, sql: &str) {
        self.superuser().await.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// What a call gives, and the statements that the application or an operator ran meanwhile, in order.
    pub(crate) async fn during<T>(&mut self, call: impl Future<Output = T>) -> (T, Vec<Statement>) {
        self.read_log(|_| ()).await;
        let result = call.await;
        let mut statements = Vec::new();
        self.read_log(|line| statements.extend(statement(line))).await;
        (result, statements)
    }

    /// Reads the log on to its end, with all that was done before: lines come in the order of writing.
    async fn read_log(&mut self, mut read: impl FnMut(&str)) {
        let mark = format!("the log was read at {:?}", Instant::now());
        self.execute(&format!("DO $$ BEGIN RAISE LOG '{mark}'; END $$")).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut log = BufReader::new(File::open(self.server.data_dir().join("log").join("plans.json")).unwrap());
            log.seek(SeekFrom::Start(self.read)).unwrap();
            let mut line = String::new();
            // A line without an end is still being written.
            while log.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
                self.read += line.len() as u64;
                if line.contains(&mark) {
                    return;
                }
                read(&line);
                line.clear();
            }
            assert!(Instant::now() < deadline, "the server's log did not get to {mark}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A line of the log, if it tells the plan of a statement of the application or an operator.
fn statement(line: &str) -> Option<Statement> {
    let line: Value = serde_json::from_str(line).unwrap();
    let is_ours = line["user"] == APPLICATION || line["user"] == OPERATOR;
    let (_, plan) = line["message"].as_str()?.split_once("plan:\n").filter(|_| is_ours)?;
    let mut explained: Value = serde_json::from_str(plan).unwrap();
    let text = explained["Query Text"].as_str().unwrap().to_owned();
    Some(Statement { text, plan: explained["Plan"].take() })
}

impl Statement {
    /// Whether row-level security limited it to a user's rows.
    pub(crate) fn is_bound(&self) -> bool {
        self.plan.to_string().contains("current_setting('ironclaw.owner_no'")
    }

    /// How many rows it read in vain, at most in one place.
    pub(crate) fn removed(&self) -> u64 {
        fn most(node: &Value) -> u64 {
            let removed = node["Rows Removed by Filter"].as_f64().unwrap_or_default() as u64;
            let below = node["Plans"].as_array().into_iter().flatten().map(most);
            below.fold(removed, u64::max)
        }
        most(&self.plan)
    }

    /// How many rows it read from tables, those included that it read in vain; the server's own tables are left out.
    pub(crate) fn read(&self) -> u64 {
        self.nodes()
            .iter()
            .filter(|node| node["Relation Name"].as_str().is_some_and(|name| !name.starts_with("pg_")))
            .map(|node| {
                let number = |name: &str| node[name].as_f64().unwrap_or_default();
                let of_a_loop =
                    number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
                (of_a_loop * number("Actual Loops")) as u64
            })
            .sum()
    }

    /// The tables that it read as a whole.
    pub(crate) fn read_whole(&self) -> Vec<String> {
        let whole = self.nodes().into_iter().filter(|node| node["Node Type"] == "Seq Scan");
        whole
            .filter(|node| node["Actual Loops"].as_f64() > Some(0.0))
            .map(|node| node["Relation Name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn nodes(&self) -> Vec<&Value> {
        fn add<'a>(node: &'a Value, nodes: &mut Vec<&'a Value>) {
            nodes.push(node);
            node["Plans"].as_array().into_iter().flatten().for_each(|node| add(node, nodes));
        }
        let mut nodes = Vec::new();
        add(&self.plan, &mut nodes);
        nodes
    }

    /// The part of its plan that reads through an index, if one does.
    pub(crate) fn scan(&self, index: &str) -> Option<&Value> {
        fn find<'a>(node: &'a Value, index: &str) -> Option<&'a Value> {
            let below = || node["Plans"].as_array()?.iter().find_map(|node| find(node, index));
            if node["Index Name"] == index { Some(node) } else { below() }
        }
        find(&self.plan, index)
    }
}
