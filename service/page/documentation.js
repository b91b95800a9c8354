// Sends the API key of this tab, which the page at `/` has too, with every request of Swagger UI; asks for it where it is needed.
(() => {
  const KEY = "digitalis-api-key";
  const send = window.fetch;
  window.fetch = async (resource, options) => {
    const request = new Request(resource, options);
    const key = sessionStorage.getItem(KEY);
    const isOurs = new URL(request.url).origin === location.origin;
    if (key && isOurs && !request.headers.has("Authorization")) request.headers.set("Authorization", `Bearer ${key}`);
    const response = await send(request);
    if (response.status === 401 && isOurs) document.getElementById("key-form").hidden = false;
    return response;
  };
  document.getElementById("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, document.getElementById("key").value);
    location.reload();
  });
})();
