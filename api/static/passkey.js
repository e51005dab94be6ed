// Passkeys (WebAuthn): the only thing at the doors that needs a script. Without it the buttons stay hidden.
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const send = async (address, fields) => {
    const answer = await fetch(address, { method: "POST", body: new URLSearchParams(fields), credentials: "same-origin" });
    if (!answer.ok) throw new Error(answer.status);
    return answer.json();
  };
  const written = (credential) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"])
      if (credential.response[name]) response[name] = text(credential.response[name]);
    return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });
  };
  const known = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));
  const guarded = (element, act) => async (event) => {
    event.preventDefault();
    const problem = element.closest(".card").querySelector("[data-passkey-problem]");
    problem.hidden = true;
    try { await act(); } catch { problem.hidden = false; }
  };
  for (const button of document.querySelectorAll("[data-passkey]")) {
    const { passkey: address, csrf, next } = button.dataset;
    button.hidden = false;
    document.getElementById("others").hidden = false;
    button.addEventListener("click", guarded(button, async () => {
      const options = await send(address + "/options", { csrf });
      const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) };
      const credential = await navigator.credentials.get({ publicKey });
      location.assign((await send(address, { csrf, next, credential: written(credential) })).next);
    }));
  }
  for (const form of document.querySelectorAll("[data-passkey-new]")) {
    const { passkeyNew: address, csrf } = form.dataset;
    form.hidden = false;
    form.addEventListener("submit", guarded(form, async () => {
      const password = form.querySelector("[name=password]");
      const options = await send(address + "/options", { csrf, password: password ? password.value : "" });
      const publicKey = {
        ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: known(options.excludeCredentials),
      };
      const credential = await navigator.credentials.create({ publicKey });
      const name = form.querySelector("input:not([name])").value;
      location.assign((await send(address, { csrf, name, credential: written(credential) })).next);
    }));
  }
})();
