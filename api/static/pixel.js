// The tracker's beginning, loaded after a yes only. It is told which shop this is, and nothing about the reader.
(function () {
  "use strict";
  var calls = [];
  var begin = function () { calls.push(arguments); };
  begin.q = calls;
  begin.l = Date.now();
  window.bp = window.bp || begin;
  window.barion_pixel_id = document.currentScript.dataset.id;
  window.bp("init", "addBarionPixelId", window.barion_pixel_id);
})();
