//! Protection that somebody loosened: a schema that is not what the migrations made, what others have to do with it, and
//! roles that may do more than the application's should.

use ironclaw_core::store::StoreError;

use crate::integrity::Found;
use crate::postgres::definitions::{self, Difference};
use crate::postgres::row::{Row, params};
use crate::postgres::tx::Tx;
use crate::postgres::{role, server};

/// Who can connect as the application.
const APPLICATIONS: &str = "SELECT r.rolname::text FROM pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper \
                            AND pg_has_role(r.oid, 'ironclaw_app', 'USAGE, SET')";

/// Whoever of the application or of the auditors the server lets do everything. A superuser counts as a member of every
/// role, and is looked at only if somebody made it one of these.
const UNBOUND: &str = "WITH RECURSIVE members AS ( \
                           SELECT m.member FROM pg_auth_members m \
                           WHERE m.roleid IN ('ironclaw_app'::regrole, 'ironclaw_auditor'::regrole) \
                           UNION SELECT m.member FROM pg_auth_members m JOIN members g ON m.roleid = g.member \
                       ) \
                       SELECT 'unbound', format('%I is %s', r.rolname, CASE WHEN r.rolsuper THEN 'superuser' \
                           ELSE 'BYPASSRLS' END) \
                       FROM pg_roles r JOIN members g ON g.member = r.oid \
                       WHERE r.rolsuper OR r.rolbypassrls AND NOT pg_has_role(r.oid, 'ironclaw_app', 'USAGE, SET') \
                       ORDER BY r.rolname";

/// What was loosened.
#[derive(Debug, Default)]
pub(super) struct Loosened {
    differences: Vec<Difference>,
    open: Vec<String>,
    /// The kind of what a role may do, and what.
    risks: Vec<(String, String)>,
}

impl Loosened {
    /// Looks at all of it.
    pub(super) async fn look(tx: &Tx) -> Result<Self, StoreError> {
        let differences = definitions::differences(&tx.query(definitions::query(), params![], pair).await?);
        let open = tx.query(server::OPEN_SCHEMAS, params![], |row| row.text(0)).await?;
        let applications = tx.query(APPLICATIONS, params![], |row| row.text(0)).await?;
        let mut risks = tx.query(UNBOUND, params![], pair).await?;
        risks.extend(tx.query(role::RISKS, params![applications], pair).await?);
        Ok(Self { differences, open, risks })
    }

    /// Whether somebody else may decide what is done when this table is read.
    pub(super) fn is_anothers(&self, table: &str) -> bool {
        definitions::is_anothers(table, &self.differences)
    }

    /// Tells it: the first of each kind, and how many more there are.
    pub(super) fn note(&self, found: &mut Found) {
        for Difference { kind, line } in &self.differences {
            found.note_one(kind, line.clone());
        }
        for line in &self.open {
            found.note_one("what others may do with the store's schemas", line.clone());
        }
        let more = "a role of the application or an auditor may do more than it should";
        for (kind, risk) in &self.risks {
            found.note_one(format!("{more}, by {kind}"), format!("{more}: {risk}"));
        }
    }
}

fn pair(row: &Row<'_>) -> Result<(String, String), StoreError> {
    Ok((row.text(0)?, row.text(1)?))
}
