//! Opening.

use std::sync::Arc;

use ironclaw_core::change::SecretOp;
use ironclaw_core::id::{DataKeyId, SecretName};
use ironclaw_core::model::audit::Action;
use ironclaw_core::model::secrets::{Place, Sealed};
use ironclaw_core::vault::{VaultError, VaultErrorKind};
use ironclaw_core::{Change, Scope, SecretValue};

use super::audit::Call;
use super::keys::Keys;
use super::{Inner, error};
use crate::associated::{self, FORMAT};
use crate::error::SealError;
use crate::key::Key;
use crate::seal::{self, Parts, Purpose};

impl Inner {
    pub(super) async fn reveal(
        &self,
        keys: &Keys,
        scope: &Scope,
        name: &SecretName,
        number: Option<u32>,
    ) -> Result<SecretValue, VaultError> {
        let call = Call { operation: "reveal", action: Action::SecretUse, scope, name };
        self.check_in_person(call).await?;
        let Some((number, sealed)) = self.find(call, number).await? else {
            let missing = VaultError::new(VaultErrorKind::NotFound, "reveal", "");
            return Err(self.refuse(call, "not found", missing).await);
        };
        let value = match self.open(keys, call, number, &sealed).await {
            Ok(value) => value,
            Err(e) if e.kind() == &VaultErrorKind::Store => return Err(e),
            Err(e) => return Err(self.refuse(call, "did not open", e).await),
        };
        // The value leaves only after its use is on record; until then it is wiped with this future.
        let used = Change::new().with(SecretOp::Use { name: name.clone(), number });
        self.store.apply(scope, used).await.map_err(|e| error::from_store("reveal", e))?;
        Ok(value)
    }

    /// A version of a secret that has not expired, the newest if none is named, and its number.
    async fn find(&self, call: Call<'_>, number: Option<u32>) -> Result<Option<(u32, Sealed)>, VaultError> {
        let failed = |e| error::from_store("reveal", e);
        let secrets = self.store.secrets();
        let Some(secret) = secrets.secret(call.scope, call.name).await.map_err(failed)? else {
            return Ok(None);
        };
        if secret.expires_at.is_some_and(|expiry| expiry <= self.options.clock.now()) {
            let expired = VaultError::new(VaultErrorKind::Expired, "reveal", "put a new value");
            return Err(self.refuse(call, "expired", expired).await);
        }
        let number = number.unwrap_or(secret.current_version);
        let version = secrets.secret_version(call.scope, call.name, Some(number)).await.map_err(failed)?;
        Ok(version.map(|version| (number, version.sealed)))
    }

    /// Opens what the store gave. What it is bound to is what was asked for, whatever the store says that it is: what was
    /// sealed under another name or number does not open.
    async fn open(&self, keys: &Keys, call: Call<'_>, number: u32, sealed: &Sealed) -> Result<SecretValue, VaultError> {
        if sealed.format != FORMAT {
            return Err(error::unsupported("reveal"));
        }
        let place = self.place(call.scope);
        let key = self.opening_key(keys, call.scope, &place, sealed.data_key).await?;
        let parts =
            Parts { salt: sealed.salt.clone(), nonce: sealed.nonce.clone(), ciphertext: sealed.ciphertext.clone() };
        associated::secret(&place, call.name, number, sealed.data_key, sealed.algorithm)
            .and_then(|bound| seal::open(&key, Purpose::Secret, sealed.algorithm, &bound, &parts))
            .map(|mut value| SecretValue::new(std::mem::take(&mut *value)))
            .map_err(|e| error::from_seal("reveal", e))
    }

    async fn opening_key(
        &self,
        keys: &Keys,
        scope: &Scope,
        place: &Place,
        id: DataKeyId,
    ) -> Result<Arc<Key>, VaultError> {
        if let Some(key) = keys.cached(place, id) {
            return Ok(key);
        }
        let row = self.store.secrets().data_key(scope, id).await.map_err(|e| error::from_store("reveal", e))?;
        // A value that names another user's key is one that was moved: no different from any other that does not open.
        let row = row.ok_or_else(|| error::from_seal("reveal", SealError::Failed))?;
        keys.unwrap("reveal", place, id, &row)
    }
}
