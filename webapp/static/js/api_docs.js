// Starts Swagger UI. A file of its own, because the pages allow no inline script.
const place = document.getElementById("api");

window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
