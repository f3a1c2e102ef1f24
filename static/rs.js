"use strict";(()=>{})();
//# sourceMappingURL=rs.js.map
