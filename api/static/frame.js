// Inside somebody's site: how high the page is, and nothing else, for embed.js.
(() => {
  const tell = () => parent.postMessage({ slotledgerHeight: document.documentElement.offsetHeight }, "*");
  new ResizeObserver(tell).observe(document.documentElement);
})();
