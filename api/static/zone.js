// A convenience, nothing more: offer the reader's own time zone where none was chosen yet.
(() => {
  const select = document.querySelector("select[name=tz]");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!select || !own || !select.dataset.fresh) return;
  if ([...select.options].some((option) => option.value === own)) {
    select.value = own;
    if (select.dataset.fresh === "go" && select.value !== select.dataset.home) select.form.submit();
  }
})();
