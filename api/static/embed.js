// Puts the booking pages into somebody's own site:
// <script src="https://book.example.org/embed.js" data-service="anna/consultation" data-language="en"></script>
// data-service: operator/service, or an operator alone; data-language and data-title are optional.
(() => {
  const script = document.currentScript;
  const { service = "", language = "", title = "Booking" } = script.dataset;
  if (!/^[a-z0-9-]+(\/[a-z0-9-]+)?$/.test(service) || !/^([a-z]{2})?$/.test(language)) {
    console.error('slotledger: data-service="operator/service" is needed, data-language is two letters');
    return;
  }
  const { origin } = new URL(script.src);
  const frame = document.createElement("iframe");
  frame.src = `${origin}/${language ? `${language}/` : ""}${service}`;
  frame.title = title;
  frame.style.cssText = "display:block;width:100%;height:48rem;border:0";
  script.after(frame);
  addEventListener("message", (event) => {
    if (event.origin !== origin || event.source !== frame.contentWindow) return;
    const height = Number(event.data?.slotledgerHeight);
    if (height >= 100 && height <= 20000) frame.style.height = `${Math.ceil(height)}px`;
  });
})();
