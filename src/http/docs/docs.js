// Draws the description of the API with whichever of the two is on the page.
'use strict';

if (window.SwaggerUIBundle) {
  window.ui = SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    // The public checker would be asked about every description.
    validatorUrl: null,
  });
} else if (window.Redoc) {
  Redoc.init('/openapi.json', {nativeScrollbars: true}, document.getElementById('redoc'));
}
